//! The way to a server whose addresses were checked: a connection to one of them, handed to sqlx as a socket of this process.
//! sqlx takes a name and looks it up again, and a tenant's DNS may answer otherwise the second time; the name itself it still
//! needs, for TLS. Does network I/O.

use super::{Dialect, ProbeError, error::NoAnswer};
use std::{net::SocketAddr, path::PathBuf};

/// Where sqlx finds the connection; `None` where it opens one by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way(pub Option<PathBuf>);

impl Way {
    /// Connects to the first of the addresses that answers.
    pub(super) async fn to(dialect: Dialect, addresses: &[SocketAddr], place: &str) -> Result<Self, ProbeError> {
        let unreachable = |error| ProbeError::Unreachable { place: place.to_owned(), why: NoAnswer::of(&error) };
        let port = addresses.first().map_or(0, SocketAddr::port);
        imp::relay(dialect, port, addresses).await.map(Self).map_err(unreachable)
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use super::*;
    use std::{
        hash::{BuildHasher, RandomState},
        io,
        time::Duration,
    };
    use tokio::{
        io::copy,
        net::{TcpStream, UnixListener, UnixStream},
    };

    /// sqlx comes at once, or it was given up.
    const UNTIL_ACCEPTED: Duration = Duration::from_secs(10);

    pub(super) async fn relay(dialect: Dialect, port: u16, to: &[SocketAddr]) -> io::Result<Option<PathBuf>> {
        let server = TcpStream::connect(to).await?;
        server.set_nodelay(true)?;
        // An abstract name: no file, and gone with its listener.
        let name = format!("\0alembic-operator-{:016x}", RandomState::new().hash_one(port));
        let listener = UnixListener::bind(match dialect {
            // What libpq makes of a directory, and sqlx too.
            Dialect::Postgresql => format!("{name}/.s.PGSQL.{port}"),
            Dialect::Mysql | Dialect::Mariadb => name.clone(),
        })?;
        tokio::spawn(carry(listener, server));
        Ok(Some(PathBuf::from(name)))
    }

    /// Carries one connection until either side ends it.
    async fn carry(listener: UnixListener, server: TcpStream) {
        let Ok(Ok((client, _))) = tokio::time::timeout(UNTIL_ACCEPTED, listener.accept()).await else { return };
        drop(listener);
        if !is_own(&client) {
            return;
        }
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            _ = copy(&mut from_server, &mut to_client) => {}
        }
    }

    /// Others may share the pod's network.
    fn is_own(client: &UnixStream) -> bool {
        let own = i32::try_from(std::process::id()).ok();
        client.peer_cred().is_ok_and(|peer| peer.pid().is_some() && peer.pid() == own)
    }
}

/// The operator runs on Linux. Elsewhere the name is looked up twice.
#[cfg(not(target_os = "linux"))]
mod imp {
    use super::*;

    pub(super) async fn relay(_: Dialect, _: u16, _: &[SocketAddr]) -> std::io::Result<Option<PathBuf>> {
        Ok(None)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::db::{AllowedHosts, Endpoint, VersionTable, probe};
    use secrecy::SecretString;
    use std::{sync::Arc, time::Duration};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UnixStream},
    };

    const REFUSED: &[u8] = b"E\0\0\0\x23SFATAL\0VFATAL\0C28P01\0Mrefused\0\0\0";

    #[tokio::test]
    async fn a_probe_of_allowed_hosts_goes_through_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // A PostgreSQL that speaks no TLS and refuses everybody.
        let server = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut asked = [0; 8];
            client.read_exact(&mut asked).await.unwrap();
            client.write_all(b"N").await.unwrap();
            let mut started = vec![0; usize::try_from(client.read_u32().await.unwrap()).unwrap() - 4];
            client.read_exact(&mut started).await.unwrap();
            client.write_all(REFUSED).await.unwrap();
            String::from_utf8_lossy(&started).into_owned()
        });
        let url = SecretString::from(format!("postgresql://ann:secret@127.0.0.1:{port}/shop"));
        let own = AllowedHosts::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let endpoint = Endpoint::parse(&url).unwrap().among(Arc::new(own));
        let table = VersionTable { schema: None, name: "alembic_version".into(), measure: false };
        let told = probe(&endpoint, &table, Duration::from_secs(5)).await;
        assert_eq!(told, Err(ProbeError::AuthFailed { place: format!("127.0.0.1:{port}/shop") }));
        assert!(server.await.unwrap().contains("ann\0"));
    }

    #[tokio::test]
    async fn it_carries_one_connection_and_ends_with_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let Way(Some(path)) = Way::to(Dialect::Mysql, &[address], "here").await.unwrap() else { panic!("no socket") };
        let (mut server, _) = listener.accept().await.unwrap();
        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
        assert!(UnixStream::connect(&path).await.is_err(), "one connection alone");
        drop(client);
        assert_eq!(server.read(&mut heard).await.unwrap(), 0, "the server sees the end");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_as_before() {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let told = Way::to(Dialect::Postgresql, &[unused], "here").await;
        assert_eq!(told, Err(ProbeError::Unreachable { place: "here".into(), why: NoAnswer::Refused }));
    }
}
