//! The graph of the shop, and one of five hundred revisions.

use super::{
    super::tests::{
        everybody,
        images::{demo, image},
        look, shop, snapshot,
    },
    *,
};
use crate::plugin::text::plain;

fn picture(object: &crate::api::DatabaseMigration, all: bool) -> Picture {
    let hazards = object.status.as_ref().unwrap().plan.clone().map(|plan| plan.hazards).unwrap_or_default();
    Picture::of(object, &demo(), &hazards, all).unwrap()
}

#[test]
fn the_database_and_the_target_are_in_the_picture() {
    let picture = picture(&shop(), false);
    snapshot("graph.txt", &plain(&text(&picture, look(110))));
    snapshot("graph-50.txt", &plain(&text(&picture, look(50))));
    snapshot("graph.svg", &svg(&picture));
    snapshot("graph.dot", &dot(&picture));
    snapshot("graph.mmd", &mermaid(&picture));
    assert_eq!(json(&picture)["hidden"], 2);
}

#[test]
fn all_shows_what_was_left_out() {
    let whole = picture(&shop(), true);
    assert_eq!((whole.nodes.len(), whole.hidden), (9, 0));
}

#[test]
fn a_downgrade_and_a_row_that_the_image_does_not_know() {
    let mut object = shop();
    let status = object.status.as_mut().unwrap();
    status.current_revisions = vec!["f06d8c51e2a7".into(), "0000feedface".into()];
    status.target_revisions = vec!["e90a7b3c51d6".into()];
    status.plan = None;
    object.spec.target_revision = "e90a7b3c51d6".into();
    let picture = picture(&object, false);
    assert!(picture.down);
    snapshot("graph-down.txt", &plain(&text(&picture, look(110))));
}

#[test]
fn after_a_revert_an_earlier_image_has_the_picture() {
    let older = image(&[("a10c44fd2b91", &[], "customers and products")]);
    let mut object = shop();
    assert!(knows_all(&demo(), &object) && !knows_all(&older, &object));
    object.status.as_mut().unwrap().target_revisions = vec!["a10c44fd2b91".into()];
    assert!(
        knows_all(&demo(), &object) && !knows_all(&older, &object),
        "the database is at what the older image lacks"
    );
}

#[test]
fn a_target_that_the_image_lacks_is_told_first() {
    let object = everybody().into_iter().find(|object| object.metadata.name.as_deref() == Some("typo")).unwrap();
    let shown = plain(&text(&picture(&object, false), look(80)));
    assert!(shown.starts_with("✗  3f2a9c  no revision of this image   ← TARGET\n"), "{shown}");
}

#[test]
fn five_hundred_revisions_are_drawn_at_once() {
    let ids: Vec<String> = (0..520).map(|n| format!("{:012x}", (n as u64 + 1) * 7_919_777)).collect();
    let mut revisions: Vec<(String, Vec<String>)> = Vec::new();
    for n in 0..500 {
        let side = n % 25 == 24;
        let mut down: Vec<String> = if n == 0 { vec![] } else { vec![ids[n - 1].clone()] };
        if side {
            // A branch that begins ten revisions before, and is merged here.
            let branch = format!("b{n:011}");
            revisions.push((branch.clone(), vec![ids[n - 10].clone()]));
            down.push(branch);
        }
        revisions.push((ids[n].clone(), down));
    }
    let borrowed: Vec<(&str, Vec<&str>, &str)> = revisions
        .iter()
        .map(|(id, down)| (id.as_str(), down.iter().map(String::as_str).collect(), "a title of some length"))
        .collect();
    let all: Vec<(&str, &[&str], &str)> =
        borrowed.iter().map(|(id, down, title)| (*id, down.as_slice(), *title)).collect();
    let image = image(&all);
    let mut object = shop();
    object.status.as_mut().unwrap().current_revisions = vec![ids[250].clone()];
    let begun = std::time::Instant::now();
    let picture = Picture::of(&object, &image, &[], true).unwrap();
    let shown = plain(&text(&picture, look(120)));
    assert_eq!(picture.nodes.len(), 520);
    assert!(shown.lines().all(|line| line.chars().count() <= 120));
    assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
}
