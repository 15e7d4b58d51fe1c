//! What is in a page, and that nothing gets out of its place.

use serde_json::Value;

use super::*;
use crate::export::fixture::{EXAMPLES, examples, known};
use crate::record::{Exchange, Headers, Record, Request};
use crate::recording::ReadError;

fn page_of(records: Vec<Result<Record, ReadError>>) -> String {
    let known = known(&records);
    let mut out = Vec::new();
    write(&mut records.into_iter(), &known, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text of the `<script>` with this id.
fn data<'a>(page: &'a str, id: &str) -> &'a str {
    let start = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, behind) = page.split_once(&start).unwrap();
    behind.split_once("</script>").unwrap().0
}

fn summary(page: &str) -> Value {
    serde_json::from_str(data(page, "summary")).unwrap()
}

#[test]
fn a_page_holds_every_record_in_order() {
    let page = page_of(examples());
    let held: Vec<Record> = data(&page, "records")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| Record::from_json(line).unwrap())
        .collect();
    let recorded: Vec<Record> = examples().into_iter().flatten().collect();
    assert_eq!(held, recorded);
    let summary = summary(&page);
    assert_eq!(summary["records"], EXAMPLES.lines().count());
    assert_eq!(
        (&summary["left_out"], &summary["broke_off"]),
        (&Value::Array(vec![]), &Value::Null)
    );
}

#[test]
fn a_header_that_is_markup_stays_text() {
    let attack = "</script><img src=x onerror=alert(1)><!--<script>&lt;\u{2028}\u{202e}";
    let mut records = examples();
    let Ok(Record::Exchange(exchange)) = &records[7] else { panic!("no exchange") };
    let headers: Headers = [("x-attack", attack)].into_iter().collect();
    let request = Request { headers, ..Request::default() };
    let theirs = Exchange { request: Some(request), ..(**exchange).clone() };
    let clean = page_of(examples());
    records[7] = Ok(Record::Exchange(theirs.into()));
    let page = page_of(records);
    let tags = |page: &str| page.matches('<').count();
    assert_eq!(tags(&page), tags(&clean), "markup of a record is markup of the page");
    assert!(!page.contains("<img"));
    assert!(page.contains(r"\u003c/script\u003e\u003cimg src=x onerror=alert(1)\u003e"), "{page}");
    assert!(!data(&page, "records").contains(['\u{2028}', '\u{202e}']));
}

#[test]
fn a_page_asks_for_nothing_outside_of_itself() {
    for (name, part) in [("page.html", PAGE), ("page.css", STYLE), ("script", &SCRIPT.concat())] {
        for reference in
            ["http:", "https:", "//cdn", "src=", "@import", "url(", "fetch(", "XMLHttp"]
        {
            assert!(!part.contains(reference), "{name} has {reference}");
        }
    }
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                  base-uri 'none'; form-action 'none'";
    assert!(PAGE.contains(policy));
}

#[test]
fn the_script_never_makes_markup_or_code_of_text() {
    let script = SCRIPT.concat();
    for way in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
    {
        assert!(!script.contains(way), "{way}");
    }
}

#[test]
fn every_part_has_its_place() {
    let page = page_of(examples());
    for mark in ["/*style*/", "/*records*/", "/*summary*/", "/*script*/"] {
        assert_eq!(PAGE.matches(mark).count(), 1, "{mark}");
        assert!(!page.contains(mark), "{mark}");
    }
    assert!(page.contains(STYLE) && page.contains(&SCRIPT.concat()));
    assert!(!SCRIPT.concat().contains("</"), "it would end the script");
    assert!(page.ends_with("</html>\n"));
}

#[test]
fn a_recording_that_breaks_off_is_a_whole_page_that_says_so() {
    let mut records = examples();
    let source = std::io::Error::other("the disk is gone");
    records.insert(3, Err(ReadError::Io { offset: 7, source }));
    let known = known(&records);
    let mut out = Vec::new();
    write(&mut records.into_iter(), &known, &mut out).unwrap_err();
    let page = String::from_utf8(out).unwrap();
    let summary = summary(&page);
    assert_eq!(summary["records"], 3);
    assert_eq!(summary["broke_off"], "cannot read the recording at byte 7: the disk is gone");
    assert!(page.ends_with("</html>\n"));
}

#[test]
fn a_page_shows_nothing_that_a_terminal_would_not() {
    let is_listed =
        |c: char| hazards().iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)));
    for c in ['\0', '\u{1b}', '\u{9b}', '\u{ad}', '\u{202e}', '\u{2066}', '\u{e0041}'] {
        assert!(is_listed(c), "{c:?}");
    }
    for c in [' ', 'a', '~', '\u{e9}', '\u{4e2d}', '\u{1f600}'] {
        assert!(!is_listed(c), "{c:?}");
    }
}
