use pontoon::prelude::*;

fn lookup() -> Result<u64, String> {
    Err("no such flight".into())
}

async fn on_flight(_flight: Raw) -> Outcome {
    lookup()?;
    done()
}

fn main() {}
