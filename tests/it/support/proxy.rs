//! An HTTP proxy that tunnels: whatever host it is asked for, it connects to that port of this machine, as only it can know.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Tunneller {
    pub addr: SocketAddr,
    /// The heads of the requests it got.
    pub asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Tunneller {
    pub async fn starts() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let addr = listener.local_addr().expect("address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heads = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, heads.clone()));
            }
        });
        Tunneller { addr, asked, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The head of the last request.
    pub fn head(&self) -> String {
        self.asked.lock().expect("lock").last().expect("a request").clone()
    }
}

impl Drop for Tunneller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(mut client: TcpStream, heads: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).expect("UTF-8");
    let port: u16 = head.split(' ').nth(1).and_then(|target| target.rsplit(':').next()?.parse().ok()).expect("host:port");
    heads.lock().expect("lock").push(head);
    let mut target = TcpStream::connect(("127.0.0.1", port)).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut target).await?;
    Ok(())
}
