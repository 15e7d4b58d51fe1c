//! Real servers, configured for the cases.

use crate::place::{PORT, PROXY_PORT, Place};

/// nginx: one worker, files by sendfile.
pub fn nginx(place: &mut Place) {
    let folder = place.folder().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let configuration = format!(
        "daemon off; user root; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
         worker_rlimit_nofile 8192;
         events {{ worker_connections 4096; }}
         http {{
           access_log off; sendfile on; client_max_body_size 64m; keepalive_requests 1000000; {temporary}
           server {{
             listen 127.0.0.1:{PORT} backlog=4096; root {folder}/www;
             location = /empty {{ return 204; }}
             location = /take {{ return 200 'taken'; }}
           }}
         }}"
    );
    let path = place.write("nginx.conf", &configuration);
    let mut command = place.command("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(path);
    place.serve(command, PORT);
}

/// haproxy in front of what listens on [`PORT`]; in `tcp` mode it splices.
pub fn haproxy(place: &mut Place, mode: &str) {
    let configuration = format!(
        "defaults
           mode {mode}
           option splice-auto
           timeout connect 10s
           timeout client 60s
           timeout server 60s
         frontend front
           bind 127.0.0.1:{PROXY_PORT}
           default_backend back
         backend back
           server only 127.0.0.1:{PORT}\n"
    );
    let path = place.write("haproxy.cfg", &configuration);
    let mut command = place.command("haproxy");
    command.arg("-db").arg("-f").arg(path);
    place.serve(command, PROXY_PORT);
}

/// Python's http.server: HTTP/1.0, a connection for each request.
pub fn python(place: &mut Place) {
    let mut command = place.command("python3");
    command.args(["-m", "http.server", &PORT.to_string(), "--bind", "127.0.0.1"]);
    command.arg("--directory").arg(place.folder().join("www"));
    place.serve(command, PORT);
}
