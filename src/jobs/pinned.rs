//! The reference of an image by its content; no I/O.

/// The reference to run so that exactly the inspected files run: the spec's repository with the digest that the
/// kubelet reported. As it stands in the spec when the kubelet names another repository or none (an image that was
/// loaded, not pulled), since a pull by digest would then fail; the runner's check of the files still holds.
pub fn pinned(reference: &str, image_id: &str) -> (String, Option<String>) {
    if let Some((_, digest)) = reference.split_once('@') {
        return (reference.to_owned(), Some(digest.to_owned()));
    }
    let Some((repository, digest)) = image_id.split_once('@') else {
        return (reference.to_owned(), Some(image_id.to_owned()).filter(|id| id.contains("sha256:")));
    };
    let repository = repository.rsplit("://").next().unwrap_or(repository);
    let wanted = repository_of(reference);
    if repository == wanted
        || repository.strip_prefix("docker.io/library/") == Some(wanted)
        || repository.strip_prefix("docker.io/") == Some(wanted)
    {
        (format!("{wanted}@{digest}"), Some(digest.to_owned()))
    } else {
        (reference.to_owned(), Some(digest.to_owned()))
    }
}

/// Whether a reference names its content, so that it can never mean other files.
pub fn is_pinned(reference: &str) -> bool {
    reference.contains('@')
}

/// A reference without its tag. A colon before the last slash belongs to a port.
fn repository_of(reference: &str) -> &str {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => reference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_pinned_to_the_digest_that_ran() {
        let cases = [
            ("r:5000/shop:1", "r:5000/shop@sha256:ab", "r:5000/shop@sha256:ab"),
            ("r:5000/shop", "r:5000/shop@sha256:ab", "r:5000/shop@sha256:ab"),
            ("shop:1", "docker.io/library/shop@sha256:ab", "shop@sha256:ab"),
            ("r/shop:1", "r/copy@sha256:ab", "r/shop:1"),
            ("shop:1", "sha256:cd", "shop:1"),
            ("r/shop@sha256:ef", "r/shop@sha256:ef", "r/shop@sha256:ef"),
        ];
        for (reference, id, expected) in cases {
            assert_eq!(pinned(reference, id).0, expected, "{reference}");
        }
    }
}
