//! The API of Plexica.
