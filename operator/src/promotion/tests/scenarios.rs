//! What happens, by name.
