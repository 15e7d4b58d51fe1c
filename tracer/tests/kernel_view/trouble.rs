//! What stands out.

use crate::stage::{Stage, owner};

/// A program that never closes what its clients closed: nothing is pressed to see that something is wrong, and one key
/// opens its story.
pub fn close_wait(stage: &Stage) {
    // More than other programs of a quiet host are likely to leave: the greatest trouble is told first.
    const LEAKED: usize = 20;
    // From the start to the explanation; more than one only where the host has a greater trouble.
    const KEYS: usize = 4;
    let view = stage.view();
    let listener = stage.listen(8080);
    let pairs: Vec<_> = (0..LEAKED).map(|_| stage.connect(&listener)).collect();
    pairs.iter().for_each(|pair| pair.client.close());
    let giver = owner(&stage.giver);
    let reason = format!("{giver} at 127.0.0.1:8080 does not close what its clients closed");
    let told = view.until("the alarm with its reason", |picture| {
        picture.has(&[&format!(" ! {LEAKED} in CLOSE_WAIT up to "), &reason])
    });
    assert!(told.footer().contains("! next alarm"), "the key is not named:\n{told}");
    assert!(told.has(&["CLOSE_WAIT", &giver, "not closed here"]), "no verdict:\n{told}");

    let title = format!("{giver} 127.0.0.1:8080 ←");
    let story = format!("has closed; {giver} has not for ");
    for _ in 0..KEYS {
        view.press(&["!"]);
        let opened = view.until("an open example", |picture| picture.has(&["┌ c"]));
        if opened.has(&["┌ c", &title]) {
            view.until("who closed and who did not", |picture| {
                picture.has(&["▸ CLOSE_WAIT", &giver])
                    && picture.has(&["┌ c", &title])
                    && picture.has(&[&story])
                    && picture.has(&["├─ FIN seq 1 ack 1 ─", "▶│"])
            });
            return;
        }
    }
    panic!("{KEYS} keys did not lead to the story:\n{}", view.picture());
}
