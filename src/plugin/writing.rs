//! The commands that write YAML or a file for people: `init`, `adopt`, `gate`, `report`; does network I/O by way of `cluster`.

use super::{
    Session,
    cli::{AdoptArgs, InitArgs, NameArgs, ReportArgs, UiArgs},
    report, target,
    thing::Named,
    ui,
    write::{self, First, UrlSource},
};
use anyhow::{Context as _, bail};
use kube::ResourceExt;

impl Session {
    pub(super) async fn init(&mut self, args: InitArgs) -> anyhow::Result<u8> {
        let variable = args.url_env.clone().unwrap_or_else(|| "DATABASE_URL".to_owned());
        let given = match (args.secret, args.key) {
            (Some(secret), key) => Some(UrlSource { secret, key: key.unwrap_or_else(|| "url".to_owned()), variable }),
            (None, Some(_)) => bail!("--key is a key of --secret"),
            (None, None) => None,
        };
        let name = ["deploy/", "deployment/", "deployments/"].iter().find_map(|kind| args.from.strip_prefix(kind));
        let mut first = match name {
            Some(name) => {
                let deployment = self.cluster().await?.deployment(name).await?;
                First::of(&deployment, args.container.as_deref(), args.url_env.as_deref(), given)?
            }
            None => {
                let image = args.image.context("give an image with --image, or a Deployment: init deploy/NAME")?;
                let url = given.context("give the Secret of the database's URL with --secret and --key")?;
                First { namespace: None, name: args.from.clone(), image, target: "head".to_owned(), url, pod: None }
            }
        };
        if let Some(target) = args.target {
            first.target = target;
        }
        self.out.text(&first.yaml()?)?;
        Ok(0)
    }

    pub(super) async fn adopt(&mut self, args: AdoptArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        let image = self.image(&object).await?;
        let meaning = target::meaning(&object, &image, &args.revision)?;
        if let Some(file) = &args.git {
            let name = object.name_any();
            return self.edit(file, Named::Migration(&name), &["spec", "adopt", "revision"], &meaning.revision);
        }
        self.out.text(&write::adopt(&object, &meaning.revision))?;
        Ok(0)
    }

    pub(super) async fn gate(&mut self, args: NameArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        self.out.text(&write::gate(&object)?)?;
        Ok(0)
    }

    /// Serves the page until it is stopped.
    pub(super) async fn ui(&mut self, args: UiArgs) -> anyhow::Result<u8> {
        let cluster = self.cluster().await?;
        let path = args.name.map(|name| ui::path_of(&cluster.namespace, &name)).unwrap_or_default();
        let page = ui::listen(cluster, args.all_namespaces, args.port).await?;
        let url = format!("{}{path}", page.url);
        self.out.text(&format!("{url}\nIt is there until this command ends, for who has this address.\n"))?;
        if !args.no_open {
            open(&url);
        }
        tokio::select! {
            served = page.serve() => served?,
            stopped = tokio::signal::ctrl_c() => stopped?,
        }
        Ok(0)
    }

    pub(super) async fn report(&mut self, args: ReportArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        let file = args.file.unwrap_or_else(|| format!("{}-report.zip", object.name_any()).into());
        let found = self.cluster().await?.gather(object).await;
        let files = report::files(&found);
        std::fs::write(&file, report::zip(&files)?).with_context(|| format!("{} can't be written", file.display()))?;
        self.out.text(&format!(
            "✓ {}: {} files, without secrets; look at them before you pass them on\n",
            file.display(),
            files.len()
        ))?;
        for missing in &found.missing {
            self.out.text(&format!("  not in it: {missing}\n"))?;
        }
        Ok(0)
    }
}

/// Opens the browser, where there is one; the address is printed anyway.
fn open(url: &str) {
    let (program, arguments): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        _ => ("xdg-open", &[]),
    };
    let quiet = || std::process::Stdio::null();
    let _ = std::process::Command::new(program)
        .args(arguments)
        .arg(url)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
}
