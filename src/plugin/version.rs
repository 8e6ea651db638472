//! `version`: the plugin's and the operator's, and whether the two fit; no I/O.

use super::text::{Line, Tone};

/// Both versions. The operator's comes from the tag of its image, where the caller may see its Deployment.
pub fn page(operator: anyhow::Result<Option<String>>) -> Vec<Line> {
    let own = env!("CARGO_PKG_VERSION");
    let line = |name: &str| Line::new().and(Tone::Faint, format!("{name:<9} "));
    let second = match operator {
        Ok(Some(image)) => {
            let line = line("operator").text(crate::text::short_image(&image));
            let tag =
                image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().rsplit_once(':');
            match tag {
                Some((_, tag))
                    if tag.trim_start_matches('v') != own
                        && tag.starts_with(|c: char| c.is_ascii_digit() || c == 'v') =>
                {
                    line.and(Tone::Busy, "   another version than the plugin's")
                }
                _ => line,
            }
        }
        Ok(None) => line("operator").and(Tone::Faint, "not found, or in a namespace that you may not read"),
        Err(error) => line("operator").and(Tone::Faint, format!("not known: {error:#}")),
    };
    vec![line("plugin").text(own), second]
}
