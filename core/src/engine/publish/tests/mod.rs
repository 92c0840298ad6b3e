//! The publisher against a simulated broker, and its machine against a model.

mod basics;
mod direct;
mod model;
mod races;
mod schedules;
mod sim;
