//! The `tracer` command.

fn main() -> anyhow::Result<()> {
    env_logger::init();
    let mut p = tracer::pipeline::Pipeline::start(Default::default())?;
    println!("{:?}", p.host());
    let t = std::time::Instant::now();
    let mut out = Vec::new();
    let secs: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(3);
    while t.elapsed().as_secs() < secs {
        p.poll(&mut out);
        for o in out.drain(..) {
            if let tracer::engine::Output::Record(r) = o {
                println!("{r:?}");
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    p.finish(&mut out);
    for o in out.drain(..) {
        if let tracer::engine::Output::Record(r) = o {
            println!("{r:?}");
        }
    }
    Ok(())
}
