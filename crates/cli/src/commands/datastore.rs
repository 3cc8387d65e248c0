//! `datastore`: lock and unlock the store, rename old policies, copy the store, export its content.

mod copy;
mod export;
mod import;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::StoreArgs;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::Exit;

/// Arguments of `datastore`.
#[derive(Args, Debug)]
pub(crate) struct DatastoreArgs {
    #[command(subcommand)]
    command: DatastoreCommand,
}

#[derive(Subcommand, Debug)]
enum DatastoreCommand {
    /// Take the content of a store to Kubernetes
    #[command(after_help = "\
Examples:
  tortie datastore migrate lock
  tortie datastore migrate export > export.yaml
  tortie datastore migrate unlock")]
    Migrate(MigrateArgs),
    /// Copy a whole store into an empty one
    #[command(after_help = "\
Examples:
  # From this machine's file to etcd.
  tortie datastore copy /var/lib/tortie/tortie.db https://etcd1:2379,https://etcd2:2379

  # And back.
  tortie datastore copy https://etcd1:2379 copy.db

  # To the cluster of KUBECONFIG, or of another context.
  tortie datastore copy tortie.db kubernetes
  tortie datastore copy tortie.db kubernetes:CONTEXT")]
    Copy(copy::CopyArgs),
    /// Give policies that were stored as default.NAME by Calico before v3.32 their plain name
    #[command(after_help = "\
Examples:
  tortie datastore migrate-policy-names")]
    MigratePolicyNames(ConfigArgs),
}

#[derive(Args, Debug)]
struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Subcommand, Debug)]
enum MigrateCommand {
    /// Lock the store: agents and CNI plugins that use it pause
    #[command(after_help = "\
Examples:
  tortie datastore migrate lock")]
    Lock(ConfigArgs),
    /// Unlock the store
    #[command(after_help = "\
Examples:
  tortie datastore migrate unlock")]
    Unlock(ConfigArgs),
    /// Print the content of a locked store, for `calicoctl datastore migrate import`
    #[command(after_help = "\
Examples:
  tortie datastore migrate lock
  tortie datastore migrate export > export.yaml")]
    Export(ConfigArgs),
    /// Store an export in a cluster that has nothing of Calico yet; the datastore stays locked
    #[command(after_help = "\
Examples:
  tortie datastore migrate import -f export.yaml")]
    Import(ImportArgs),
}

#[derive(Args, Debug)]
struct ConfigArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct ImportArgs {
    #[command(flatten)]
    store: ConfigArgs,
    /// The export
    #[arg(short, long, value_name = "FILE")]
    filename: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(args: &DatastoreArgs, session: &mut Session) -> anyhow::Result<Exit> {
    match &args.command {
        DatastoreCommand::Migrate(migrate) => match &migrate.command {
            MigrateCommand::Lock(args) => lock(args, session),
            MigrateCommand::Unlock(args) => unlock(args, session),
            MigrateCommand::Export(args) => {
                let access = connect(args, session)?;
                if access.kind()? == "kubernetes" {
                    anyhow::bail!(
                        "invalid datastore type: kubernetes to export from for datastore migration. Datastore type must be etcdv3"
                    );
                }
                export::run(&access.reader()?, session)
            }
            MigrateCommand::Import(args) => import(args, session),
        },
        DatastoreCommand::Copy(args) => copy::run(args, session),
        DatastoreCommand::MigratePolicyNames(args) => {
            let access = connect(args, session)?;
            let outcomes = access.writer(false)?.migrate_policy_names()?;
            let failed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()).collect();
            if let Some(error) = failed.first() {
                anyhow::bail!("{error}");
            }
            let count = outcomes.len();
            session.terminal.line(format_args!("Policy name migration complete, migrated {count} policies."));
            Ok(Exit::Done)
        }
    }
}

fn connect(args: &ConfigArgs, session: &mut Session) -> anyhow::Result<StoreAccess> {
    let access = StoreAccess::find_by(session, &args.config)?;
    access.check_version(session)?;
    // These commands print errors of the store on standard error.
    if let Err(error) = access.reader() {
        anyhow::bail!("{error}");
    }
    Ok(access)
}

fn lock(args: &ConfigArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = connect(args, session)?;
    let client = access.writer(false)?;
    client.lock().map_err(|error| anyhow::anyhow!("error updating ClusterInformation for locking: {error}"))?;
    access.announce(session);
    session.terminal.line("Datastore locked.");
    Ok(Exit::Done)
}

fn unlock(args: &ConfigArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let client = connect(args, session)?.writer(false)?;
    let calico = session.persona.is_calicoctl();
    client.unlock().map_err(|error| {
        if error.is_missing() && !calico {
            anyhow::anyhow!("the store is empty: there is nothing to unlock")
        } else if error.is_missing() {
            anyhow::anyhow!("error retrieving ClusterInformation for unlocking: {error}")
        } else {
            anyhow::anyhow!("error updating ClusterInformation for unlocking: {error}")
        }
    })?;
    session.terminal.line("Datastore unlocked.");
    Ok(Exit::Done)
}

fn import(args: &ImportArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = connect(&args.store, session)?;
    let kind = access.kind()?;
    if kind == "kubernetes" {
        let store_args = StoreArgs { config: args.store.config.clone(), namespace: None };
        return import::run(&access, args.filename.as_deref(), &store_args, session);
    }
    if !session.persona.is_calicoctl() {
        anyhow::bail!(
            "an export is imported into Kubernetes, and this store is {kind}: `tortie datastore copy` copies one store into another"
        );
    }
    anyhow::bail!(
        "invalid datastore type: {kind} to import to for datastore migration. Datastore type must be kubernetes"
    )
}
