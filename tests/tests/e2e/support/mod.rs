//! A server in a temporary folder, and a client that keeps gRPC statuses as they are.

mod client;
mod data;
mod held;
mod plans;
pub mod process;
mod server;
pub mod workers;

pub use client::{Client, file_messages, half_an_upload, path_descriptor, statement};
pub use data::{batch, flight_data, numbers, table};
pub use held::HeldTable;
pub use plans::{insert_plan, read_plan};
pub use server::{TestServer, http_get, shared_secret};
