//! The machine against its specification: named scenarios, and a search through everything that can happen.

mod diagram;
mod events;
mod group;
mod scenarios;
mod search;
mod stage;
mod world;
