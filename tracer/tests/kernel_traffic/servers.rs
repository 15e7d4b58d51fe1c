//! The servers, each in front of an origin in Node or of files.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::environment;
use crate::support::place::{PORT, PROXY_PORT, Place};

/// The origin: Node's HTTP server.
pub fn node(place: &mut Place) {
    let script = place.write("origin.js", include_str!("origin.js"));
    let mut command = place.command("node");
    command.arg(script).arg(PORT.to_string());
    place.serve(command, PORT);
}

/// nginx on [`PROXY_PORT`]: files as they are and packed, and a proxy of the origin in three ways.
pub fn nginx(place: &mut Place) {
    let folder = place.folder().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
        .concat();
    let kept = "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_pass http://origin;";
    let configuration = format!(
        "daemon off; user root; worker_processes 1; pid {folder}/nginx.pid;
         error_log {folder}/error.log;
         events {{ worker_connections 256; }}
         http {{
           access_log off; sendfile on; client_max_body_size 0; default_type text/plain;
           keepalive_requests 1000000; {temporary}
           upstream origin {{ server 127.0.0.1:{PORT}; keepalive 4; }}
           server {{
             listen 127.0.0.1:{PROXY_PORT};
             location /file/ {{ alias {folder}/www/; }}
             location /gzip/ {{
               alias {folder}/www/; gzip on; gzip_types *; gzip_comp_level 1;
             }}
             location /buffered/ {{ {kept} }}
             location /unbuffered/ {{
               proxy_buffering off; proxy_request_buffering off; {kept}
             }}
             location /http10/ {{ proxy_pass http://127.0.0.1:{PORT}; }}
           }}
         }}"
    );
    let path = place.write("nginx.conf", &configuration);
    let mut command = place.command("nginx");
    command.arg("-p").arg(&folder).arg("-c").arg(path);
    place.serve(command, PROXY_PORT);
}

/// haproxy on [`PROXY_PORT`], in front of the origin.
pub fn haproxy(place: &mut Place) {
    let configuration = format!(
        "defaults
           mode http
           timeout connect 10s
           timeout client 120s
           timeout server 120s
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

/// Apache on [`PROXY_PORT`]: files as they are and packed, and a proxy of the origin.
pub fn apache(place: &mut Place) {
    let folder = place.folder().display().to_string();
    let modules = apache_modules().display().to_string();
    let load: String =
        ["mpm_event", "authz_core", "alias", "deflate", "filter", "proxy", "proxy_http"]
            .map(|name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n"))
            .concat();
    let configuration = format!(
        "{load}
         ServerName a.test
         ServerRoot {folder}
         PidFile {folder}/apache.pid
         DefaultRuntimeDir {folder}
         ErrorLog {folder}/error.log
         Listen 127.0.0.1:{PROXY_PORT}
         User #65534
         Group #65534
         StartServers 1
         ServerLimit 1
         MaxKeepAliveRequests 0
         DeflateCompressionLevel 1
         Alias /file/ {folder}/www/
         Alias /gzip/ {folder}/www/
         <Directory {folder}/www>
           Require all granted
           ForceType text/plain
         </Directory>
         <Location /gzip/>
           SetOutputFilter DEFLATE
         </Location>
         ProxyPass /proxy/ http://127.0.0.1:{PORT}/proxy/\n"
    );
    // Apache does not serve as root: nobody must be able to read the files.
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.folder(), readable).expect("let others read the folder");
    let path = place.write("apache.conf", &configuration);
    let mut command = place.command("apache2");
    command.arg("-D").arg("FOREGROUND").arg("-f").arg(path);
    place.serve(command, PROXY_PORT);
}

/// Beside an unpacked program, else where Debian has them.
fn apache_modules() -> PathBuf {
    let program = environment::program("apache2").expect("the case's row says what it needs");
    let unpacked = program.parent().map(|bin| bin.join("../root/usr/lib/apache2/modules"));
    unpacked.filter(|dir| dir.is_dir()).unwrap_or_else(|| "/usr/lib/apache2/modules".into())
}
