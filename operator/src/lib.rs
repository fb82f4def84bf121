//! The Plexica operator.
