//! Every test of xtask, in one binary.

mod licences;
mod totals;
