//! The commands that ask the operator for something by an annotation, and those that look into the image's revisions; does network
//! I/O by way of `cluster`.

use super::{
    Session, approve,
    cli::{AcceptArgs, ChangeArgs, GraphArgs, GraphOutput, TargetArgs},
    drift,
    graph::{self, Picture},
    target,
    thing::{Named, Thing},
    view::{State, Verdict, status_of},
    wait::Until,
};
use crate::{
    api::{ANNOTATION_ACCEPT_DRIFT, ANNOTATION_REQUESTED_AT, ANNOTATION_SUSPEND, DatabaseMigration},
    jobs::Inspected,
};
use anyhow::{anyhow, bail};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

/// The patch that sets an annotation, or takes it away.
pub fn annotation(name: &str, value: Option<&str>) -> Value {
    json!({ "metadata": { "annotations": { name: value } } })
}

fn not_inspected(object: &DatabaseMigration) -> anyhow::Error {
    let state = State::of(object);
    anyhow!("the image was not inspected yet ({}: {})", state.word, state.message)
}

impl Session {
    /// The image of the spec as it was inspected; the newest that is known where that one is not.
    pub(super) async fn image(&mut self, object: &DatabaseMigration) -> anyhow::Result<Inspected> {
        let cluster = self.cluster().await?;
        let mut images = cluster.inspections(object, false).await?;
        if images.is_empty() {
            images = cluster.inspections(object, true).await?;
        }
        images.into_iter().next().ok_or_else(|| not_inspected(object))
    }

    pub(super) async fn graph(&mut self, args: GraphArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        let image = self.cluster().await?.acting_image(&object).await?.ok_or_else(|| not_inspected(&object))?;
        let hazards = match self.document(&object).await {
            Ok(document) => document.hazards,
            Err(_) => status_of(&object).plan.as_ref().map(|plan| plan.hazards.clone()).unwrap_or_default(),
        };
        let picture = Picture::of(&object, &image, &hazards, args.all).map_err(|error| anyhow!(error))?;
        match args.output {
            GraphOutput::Ascii => self.out.lines(&graph::text(&picture, self.out.look()))?,
            GraphOutput::Dot => self.out.text(&graph::dot(&picture))?,
            GraphOutput::Mermaid => self.out.text(&graph::mermaid(&picture))?,
            GraphOutput::Svg => self.out.text(&graph::svg(&picture))?,
            GraphOutput::Json => self.out.text(&format!("{:#}\n", graph::json(&picture)))?,
        }
        Ok(0)
    }

    pub(super) async fn target(&mut self, args: TargetArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        let image = self.image(&object).await?;
        let meaning = target::meaning(&object, &image, args.target.trim())?;
        let width = self.out.look().width;
        self.out.lines(&target::page(&object, &image, args.target.trim(), &meaning, width))?;
        match &args.git {
            Some(file) => {
                let name = object.name_any();
                self.edit(file, Named::Migration(&name), &["spec", "targetRevision"], &meaning.revision)
            }
            None => Ok(0),
        }
    }

    pub(super) async fn retry(&mut self, args: ChangeArgs) -> anyhow::Result<u8> {
        let before = match self.find(&args.name).await? {
            Thing::Migration(object) => object,
            Thing::Set(set) => return Box::pin(self.retry_set(&set, &args)).await,
        };
        let moment = Timestamp::now().to_string();
        self.cluster().await?.change(&before.name_any(), &annotation(ANNOTATION_REQUESTED_AT, Some(&moment))).await?;
        self.out.text(&format!("✓ asked for at {moment}\n"))?;
        let before = Thing::Migration(before);
        if args.no_follow { Ok(0) } else { self.follow(&args.name, Until::Settled, None, Some(&before)).await }
    }

    pub(super) async fn suspend(&mut self, args: ChangeArgs, suspend: bool) -> anyhow::Result<u8> {
        let before = match self.find(&args.name).await? {
            Thing::Migration(object) => object,
            Thing::Set(set) => return Box::pin(self.suspend_set(&set, &args, suspend)).await,
        };
        let value = suspend.then_some("true");
        self.cluster().await?.change(&before.name_any(), &annotation(ANNOTATION_SUSPEND, value)).await?;
        if suspend {
            let running = status_of(&before).runs.active.is_some();
            let rest = if running { "; the run at work is left to finish" } else { "" };
            self.out.text(&format!(
                "✓ suspended: no run is started until `kubectl dbmigration resume {}`{rest}\n",
                args.name
            ))?;
            return Ok(0);
        }
        if before.spec.suspend {
            self.out.text("spec.suspend is true as well: it stays suspended until a commit changes that\n")?;
            return Ok(Verdict::Waiting.exit_code());
        }
        self.out.text("✓ resumed\n")?;
        let waits = State::of(&*before).verdict != Verdict::Ready;
        let before = Thing::Migration(before);
        if args.no_follow || !waits {
            Ok(0)
        } else {
            self.follow(&args.name, Until::Settled, None, Some(&before)).await
        }
    }

    pub(super) async fn accept_drift(&mut self, args: AcceptArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        let look = self.out.look();
        self.out.lines(&drift::page(&object, look))?;
        let status = status_of(&object);
        let Some(fingerprint) = status.drift.as_ref().and_then(|drift| drift.fingerprint.clone()) else {
            bail!("there is no schema to accept: {}", drift::summary(&status));
        };
        if super::view::drifted_objects(&status) == 0 {
            bail!("nothing is to be accepted: {}", drift::summary(&status));
        }
        if !args.yes {
            self.out.text(&approve::prompt(&fingerprint, "accept", "schema"))?;
            approve::agreed(&fingerprint, &self.answer(&fingerprint)?)?;
        }
        let name = object.name_any();
        if let Some(file) = &args.git {
            let path = ["spec", "drift", "acceptedFingerprint"];
            return self.edit(file, Named::Migration(&name), &path, &fingerprint);
        }
        self.cluster().await?.change(&name, &annotation(ANNOTATION_ACCEPT_DRIFT, Some(&fingerprint))).await?;
        self.out.text("✓ accepted: this schema is what the live one is compared with from now on\n")?;
        Ok(0)
    }
}
