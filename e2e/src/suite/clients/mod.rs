//! The backends as tests see them: with a tenant's own credentials, and with the rights of an administrator.

pub mod database;
pub mod gateway;
pub mod identity;
pub mod kubectl;
pub mod storage;
pub mod users;
