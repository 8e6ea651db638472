//! A webhook over TLS. The certificates to trust are those of the process's environment, so the test runs in a process of its own.

use super::*;
use std::{env, fs, path::Path, process::Command};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Where the child finds the server's key; the certificate to trust is in the variable that OpenSSL reads too.
const KEY: &str = "ALEMBIC_OPERATOR_TEST_KEY";
const TRUSTED: &str = "SSL_CERT_FILE";

#[test]
fn a_webhook_over_tls_needs_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = write("key.pem", own.signing_key.serialize_pem());
    let own = write("own.pem", own.cert.pem());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = write("other.pem", other.cert.pem());
    for (trusted, name, outcome) in
        [(&own, "localhost", "ok"), (&other, "localhost", "no connection"), (&own, "127.0.0.1", "no connection")]
    {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "notify::tests::tls::child", "--nocapture"]);
        let child = child.env(TRUSTED, trusted).env(KEY, &key).env("NAME", name).env("CERTIFICATE", &own).output();
        let told = String::from_utf8(child.unwrap().stdout).unwrap();
        assert!(told.contains(&format!("outcome: {outcome}")), "{name}: {told}");
    }
}

/// A part of the test above, which starts it and reads what it prints; by itself it has nothing to do.
#[tokio::test]
#[allow(clippy::print_stdout)]
async fn child() {
    if env::var_os(KEY).is_none() {
        return;
    }
    let read = |name: &str| env::var(name).unwrap();
    let certificate = CertificateDer::from_pem_file(Path::new(&read("CERTIFICATE"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(Path::new(&read(KEY))).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !whole(&String::from_utf8_lossy(&request)) && stream.read_buf(&mut request).await.unwrap() > 0 {}
            stream.write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n").await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    let (webhook, _file) = webhook(&format!("https://{}:{port}/hook", read("NAME")), Format::Text);
    match webhook.deliver(&one("waits")).await {
        Ok(()) => println!("outcome: ok"),
        Err(error) => println!("outcome: {}", error.to_string().split(['(', ')']).nth(1).unwrap_or("?")),
    }
}
