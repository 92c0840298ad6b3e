//! Histories that prove nothing.

use super::{Fact, passes, rules, undecided};

const WHOLE: &str = "
    0 sub c1 q
    1 pub 1.0
    2 ok 1.0
    3 got 1.0 L1 c1
    4 ack L1
";

#[test]
fn nothing_happened() {
    undecided("nothing was published", &rules(), "");
    undecided("nothing was published", &rules(), "0 sub c1 q\n9 end q");
    undecided("nothing was read", &rules(), "1 pub 1.0\n2 ok 1.0");
}

#[test]
fn not_read_to_the_end() {
    undecided("q was not read to its end", &rules(), WHOLE);
    undecided("q was not read to its end", &rules(), &format!("{WHOLE} 9 deadline q"));
    undecided("q was not read to its end", &rules(), &format!("{WHOLE} 9 end r"));
    passes(&rules(), &format!("{WHOLE} 9 end q"));
    passes(&rules(), &format!("{WHOLE} 9 quiet q"));
    // The last word counts.
    undecided("q was not read to its end", &rules(), &format!("{WHOLE} 9 end q\n10 deadline q"));
    // A message that is missing proves nothing then.
    undecided("q was not read to its end", &rules(), "0 sub c1 q\n1 pub 1.0\n2 ok 1.0\n9 deadline q");
}

#[test]
fn a_source_that_expects_nothing_need_not_be_read() {
    passes(&rules(), &format!("{WHOLE} 0 sub c2 r\n9 end q"));
    undecided(
        "t/b was not",
        &rules(),
        "
        0 sub c1 t/a
        0 sub c2 t/b
        1 pub 1.0 to=t
        2 ok 1.0
        3 got 1.0 L1 c1
        4 ack L1
        9 end t/a",
    );
}

#[test]
fn dead_letters_must_be_read_too() {
    let rejected = "
        0 sub c1 q
        1 pub 1.0
        2 ok 1.0
        3 got 1.0 L1 c1
        4 reject L1
        9 end q
    ";
    undecided("dead-letter channel", &rules().dlq(), rejected);
    undecided("dead-letter channel", &rules().dlq(), &format!("{rejected} 8 dead 1.0 q rejected\n9 deadline q.dead"));
    passes(&rules().dlq(), &format!("{rejected} 8 dead 1.0 q rejected\n9 end q.dead"));
    passes(&rules().dlq(), &format!("{WHOLE} 9 end q"));
}

#[test]
fn too_few_confirmed() {
    let share = |share: f64| rules().set(|p| p.confirmed_share = share);
    let history = format!("{WHOLE} 5 pub 1.1\n6 fail 1.1\n9 end q");
    passes(&share(0.5), &history);
    let two = history.replace("9 end", "6 pub 1.2\n7 ok 1.2\n7 got 1.2 L2 c1\n8 ack L2\n9 end");
    passes(&share(0.6), &two);
    undecided("only 2 of 3 publishes", &share(0.7), &two);
    undecided("only 1 of 2 publishes were confirmed", &share(0.51), &history);
}
