//! Leases: how instances share a limit without asking for each request.

pub mod exchange;
