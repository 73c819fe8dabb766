//! The control plane behind nginx, with the configuration that the handbook gives.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::connection::{self, Connection};
use testbed::fleet::Administrator;
use testbed::local_control::{LocalControl, free_port};
use testbed::process::Process;
use testbed::programs::Programs;
use testbed::wait::eventually;

/// Also on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(120);

/// The handbook's server, listening in the clear at `listen`, before a control plane at `upstream`.
fn configuration(folder: &Path, listen: &str, upstream: &str) -> String {
    let handbook = include_str!("../../../docs/operate.md");
    let (_, rest) = handbook.split_once("```nginx\n").expect("the handbook has a configuration for nginx");
    let (server, _) = rest.split_once("```").expect("it ends");
    let server: Vec<String> = server
        .lines()
        .filter(|line| !line.contains("ssl_certificate") && !line.contains("http2 on"))
        .map(|line| line.replace("443 ssl", listen).replace("127.0.0.1:8080", upstream))
        .collect();
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr;\n\
         events {{ worker_connections 64; }}\nhttp {{\n\
         client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
         uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n{}\n}}\n",
        server.join("\n")
    )
}

#[test]
fn behind_the_handbooks_nginx_agents_wait_report_and_are_woken() {
    let programs = Programs::beside(Path::new(env!("CARGO_BIN_EXE_testbed"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("wiregrant.db").display());
    let control = LocalControl::start(&programs.control, folder.path(), &database).unwrap();
    let proxy = free_port().unwrap();
    let file = folder.path().join("nginx.conf");
    let upstream = control.address.to_string();
    std::fs::write(&file, configuration(folder.path(), &proxy.to_string(), &upstream)).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(folder.path()).arg("-c").arg(&file);
    let mut nginx = Process::spawn("nginx", &mut command, folder.path()).unwrap();
    let log = nginx.log().to_owned();
    eventually("nginx", LIMIT, &[&log], || {
        nginx.still_runs()?;
        Ok(connection::get(proxy, "/readyz").ok().filter(|answer| answer.status == 200))
    })
    .unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let through = async || -> Result<()> {
        let mut administrator = Administrator::connect(proxy, control.admin_token()?).await?;
        let mut node = administrator.enrol(1).await?.pop().context("a node")?;
        let reports = (0..100).map(|_| node.next_report()).collect::<Result<Vec<_>>>()?;
        let mut connection = Connection::open(proxy).await?;
        let taken = connection.ask(&node.deliver_several(&reports)?).await?;
        ensure!(taken.status == 200, "{}", String::from_utf8_lossy(&taken.body));
        let report = node.next_report()?;
        let acknowledged = connection.ask(&node.deliver(&report)?).await?;
        node.check(&report, &acknowledged)?;

        let path = format!("/nodes/{}/freeze", node.joined.node);
        let reason = serde_json::json!({ "reason": "a-test" });
        let (woken, frozen) = tokio::join!(
            async {
                let question = node.request("GET", "/desired?known=1&wait=50", b"")?;
                Connection::open(proxy).await?.ask(&question).await
            },
            administrator.ask::<Value>("POST", &path, &reason)
        );
        frozen?;
        let desired: Value = serde_json::from_slice(&woken?.body)?;
        ensure!(desired["frozen"] == true, "{desired}");
        Ok(())
    };
    runtime.block_on(through()).unwrap();
}
