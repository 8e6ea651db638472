//! Images with their revisions.

use crate::jobs::{Inspected, Inspection};
use serde_json::json;

/// An image with these revisions: id, what it revises, title.
pub fn image(revisions: &[(&str, &[&str], &str)]) -> Inspected {
    let revision = |(id, down, title): &(&str, &[&str], &str)| json!({ "id": id, "down": down, "file": format!("{id}.py"), "sha256": id, "message": title, "upgrade": "present", "downgrade": "present" });
    let report = json!({ "alembic": "1.16.1", "dialect": "postgresql", "version_table": "alembic_version", "version_table_schema": null,
        "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
        "revisions": revisions.iter().map(revision).collect::<Vec<_>>() });
    let inspection = Inspection::parse(report.to_string().as_bytes()).unwrap();
    Inspected::new("registry.example.com/shop:1.5.0".to_owned(), None, inspection)
}

/// The revisions of the shop.
pub fn demo() -> Inspected {
    image(&[
        ("a10c44fd2b91", &[], "customers and products"),
        ("b41d9e6c2f83", &["a10c44fd2b91"], "orders"),
        ("27e5c8d90a14", &["b41d9e6c2f83"], "an index on the customer of an order"),
        ("c3d2e1f0a9b8", &["27e5c8d90a14"], "email_key"),
        ("e90a7b3c51d6", &["c3d2e1f0a9b8"], "one customer per address: fill email_key from email"),
        ("d7130e4fa6b9", &["e90a7b3c51d6"], "stock of products, made on another branch than the discounts"),
        ("5c2f81ab9d37", &["e90a7b3c51d6"], "discounts on orders"),
        ("3ab6f29c04e8", &["5c2f81ab9d37", "d7130e4fa6b9"], "merge discounts and stock"),
        ("f06d8c51e2a7", &["3ab6f29c04e8"], "totals of orders, computed for those that are there"),
    ])
}
