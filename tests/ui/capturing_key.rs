use pontoon::prelude::*;

fn channel(prefix: String) -> Queue<Raw> {
    Queue::new("flights").ordered_by_key(|_: &Raw| pontoon::Key::from(prefix.as_str()))
}

fn main() {}
