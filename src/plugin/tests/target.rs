//! Alembic's forms against the shop's graph.

use super::{images::demo, look, shop, snapshot};
use crate::plugin::{
    target::{meaning, page},
    text::plain,
};

#[test]
fn relative_forms_are_counted_from_the_live_database() {
    let of =
        |form: &str| meaning(&shop(), &demo(), form).map(|meaning| meaning.revision).map_err(|error| error.to_string());
    assert_eq!(of("-1"), Ok("c3d2e1f0a9b8".into()));
    assert_eq!(of("head"), Ok("f06d8c51e2a7".into()));
    assert_eq!(of("f06d-1"), Ok("3ab6f29c04e8".into()));
    assert_eq!(of("base"), Ok("base".into()));
    assert!(of("+1").unwrap_err().starts_with("+1: "), "two branches begin there");
    assert!(of("nonsense").unwrap_err().contains("nonsense"));
    let found = meaning(&shop(), &demo(), "-2").unwrap();
    snapshot("target.txt", &plain(&page(&shop(), &demo(), "-2", &found, look(110).width)));
}

#[test]
fn a_row_that_the_image_does_not_know_is_named() {
    let mut object = shop();
    object.status.as_mut().unwrap().current_revisions = vec!["feedface".into()];
    assert!(meaning(&object, &demo(), "-1").unwrap_err().to_string().contains("feedface"));
}
