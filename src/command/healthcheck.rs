//! `healthcheck`: whether the server on this machine is alive, for Docker's HEALTHCHECK and for scripts.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{Error, say};

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/healthz` at `address`, in TLS if that is what is spoken there.
pub(super) async fn run(address: SocketAddr, tls: bool) -> Result<(), Error> {
    match tokio::time::timeout(PATIENCE, ask(address, tls)).await {
        Ok(result) => result.map_err(|error| Error::Other(format!("not healthy: {address}: {error}"))),
        Err(_) => Err(Error::Other(format!("not healthy: {address}: no answer within {} s", PATIENCE.as_secs()))),
    }?;
    say("healthy")
}

async fn ask(address: SocketAddr, tls: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // a listener on every address is also on loopback
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    };
    let stream = TcpStream::connect(host).await?;
    if !tls {
        return healthz(stream, host).await;
    }
    let provider = ring::default_provider();
    let any = Any(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any))
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::from(host.ip()), stream).await?;
    healthz(stream, host).await
}

async fn healthz(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: SocketAddr,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    if &head == b"HTTP/1.1 200" { Ok(()) } else { Err("it answers, and does not say 200".into()) }
}

/// Takes any certificate: who asks is on the same machine, shows no credentials and wants no more than a sign of life. The one on disk
/// may be newer than the one in use until SIGHUP comes, and is no reason to restart a server that is well. That the other side has the
/// key to what it shows is still proven, as rustls asks for it.
#[derive(Debug)]
struct Any(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
