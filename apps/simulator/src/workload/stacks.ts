// SPDX-License-Identifier: Apache-2.0

/** Why a task waits in a stack. */
export type WaitKind = "idle" | "disk" | "resolver";

export interface CpuStack {
  /** As agents send it: frames from the outermost on, those of the kernel behind those of the program. */
  readonly frames: string;
  /** Of the process's CPU time. */
  readonly share: number;
}

export interface WaitStack {
  readonly frames: string;
  readonly kind: WaitKind;
  /** Of the process's idle waits; others are as many as other signals say. */
  readonly share: number;
}

export interface ProgramStacks {
  /** The first is the one that a loop would be in. */
  readonly running: readonly CpuStack[];
  readonly waiting: readonly WaitStack[];
}

/** `function [module]` for each, the outermost first. */
const inModule = (module: string, ...functions: readonly string[]): string => functions.map((name) => `${name} [${module}]`).join(";");
const kernel = (...functions: readonly string[]): string => functions.map((name) => `${name}_[k]`).join(";");
const join = (...parts: readonly string[]): string => parts.filter((part) => part !== "").join(";");

const syscall = (...functions: readonly string[]): string => kernel("entry_SYSCALL_64_after_hwframe", "do_syscall_64", ...functions);
const sleeping = ["schedule_hrtimeout_range_clock", "schedule", "__schedule"] as const;
const epollWait = syscall("__x64_sys_epoll_wait", "do_epoll_wait", "ep_poll", ...sleeping);
const futexWait = syscall("__x64_sys_futex", "do_futex", "futex_wait", "__futex_wait", "futex_wait_queue", "schedule", "__schedule");
const poll = syscall("__x64_sys_poll", "do_sys_poll", "do_poll", ...sleeping);
const nanosleep = syscall("__x64_sys_clock_nanosleep", "hrtimer_nanosleep", "do_nanosleep", "schedule", "__schedule");
const fsync = syscall(
  "__x64_sys_fsync",
  "do_fsync",
  "ext4_sync_file",
  "file_write_and_wait_range",
  "folio_wait_writeback",
  "io_schedule",
  "schedule",
  "__schedule",
);
const send = syscall("__x64_sys_sendto", "__sys_sendto", "tcp_sendmsg", "tcp_sendmsg_locked", "tcp_push", "__tcp_transmit_skb");
const receive = syscall("__x64_sys_recvfrom", "__sys_recvfrom", "tcp_recvmsg", "tcp_recvmsg_locked", "skb_copy_datagram_iter");
const writeFile = syscall("__x64_sys_write", "ksys_write", "vfs_write", "ext4_buffered_write_iter", "generic_perform_write");
const readFile = syscall("__x64_sys_pread64", "vfs_read", "ext4_file_read_iter", "filemap_read", "copy_folio_to_iter");
const start = inModule("libc.so.6", "_start", "__libc_start_main@@GLIBC_2.34");
const thread = inModule("libc.so.6", "clone3", "start_thread");

const lookup = (outer: string): WaitStack => ({
  frames: join(outer, inModule("libc.so.6", "getaddrinfo", "gaih_inet", "__res_context_search", "__res_context_send", "__poll"), poll),
  kind: "resolver",
  share: 0,
});
const synced = (outer: string): WaitStack => ({ frames: join(outer, inModule("libc.so.6", "fsync"), fsync), kind: "disk", share: 0 });
const idle = (frames: string, share = 1): WaitStack => ({ frames, kind: "idle", share });
const running = (share: number, ...parts: readonly string[]): CpuStack => ({ frames: join(...parts), share });

const nginx = join(start, inModule("nginx", "main", "ngx_master_process_cycle", "ngx_worker_process_cycle", "ngx_process_events_and_timers"));
const nginxEvents = join(nginx, inModule("nginx", "ngx_epoll_process_events"));
const pgbouncer = join(start, inModule("pgbouncer", "main", "main_loop_once"), inModule("libevent-2.1.so.7", "event_base_loop"));
const libuv = join(start, inModule("node", "main", "node::Start", "node::SpinEventLoopInternal", "uv_run"));
const nodeCallback = join(
  libuv,
  inModule("node", "uv__io_poll", "uv__stream_io", "node::InternalMakeCallback", "v8::Function::Call", "Builtins_JSEntry"),
);
const postgresBackend = join(start, inModule("postgres", "main", "PostmasterMain", "ServerLoop", "BackendStartup", "PostgresMain"));
const postgresQuery = join(postgresBackend, inModule("postgres", "exec_simple_query", "PortalRun", "standard_ExecutorRun", "ExecScan"));
const walg = join(inModule("wal-g", "runtime.goexit.abi0", "main.main", "internal.HandleWALPush"));
const redis = join(start, inModule("redis-server", "main", "aeMain", "aeProcessEvents"));
const python = join(start, inModule("python3.12", "main", "Py_BytesMain", "Py_RunMain", "PyEval_EvalCode", "_PyEval_EvalFrameDefault"));
const java = join(thread, inModule("libjvm.so", "thread_native_entry", "JavaThread::run", "JavaCalls::call_helper"));
const go = inModule("node_exporter", "runtime.goexit.abi0", "net/http.(*conn).serve", "promhttp.HandlerForTransactional.func1");
const sdEvent = (binary: string): string =>
  join(start, inModule(binary, "main"), inModule("libsystemd-shared-255.so", "sd_event_run", "sd_event_wait"));
const daemon = (binary: string, ...functions: readonly string[]): string => join(start, inModule(binary, "main", ...functions));

const stacks: Readonly<Record<string, ProgramStacks>> = {
  nginx: {
    running: [
      running(
        0.22,
        nginxEvents,
        inModule("nginx", "ngx_http_process_request_line", "ngx_http_core_run_phases", "ngx_http_rewrite_handler", "ngx_http_regex_exec"),
        inModule("libpcre2-8.so.0", "pcre2_match_8", "match"),
      ),
      running(
        0.18,
        nginxEvents,
        inModule("nginx", "ngx_ssl_handshake_handler"),
        inModule("libssl.so.3", "SSL_do_handshake"),
        inModule("libcrypto.so.3", "EVP_DigestSign", "bn_mul_mont"),
      ),
      running(0.15, nginxEvents, inModule("nginx", "ngx_http_gzip_body_filter"), inModule("libz.so.1", "deflate", "longest_match")),
      running(0.28, nginxEvents, inModule("nginx", "ngx_http_writer", "ngx_linux_sendfile_chain"), send),
      running(0.17, nginxEvents, inModule("nginx", "ngx_http_upstream_process_upstream"), receive),
    ],
    waiting: [idle(join(nginxEvents, inModule("libc.so.6", "epoll_wait"), epollWait)), lookup(join(nginx, inModule("nginx", "ngx_resolve_name")))],
  },
  pgbouncer: {
    running: [
      running(0.45, pgbouncer, inModule("pgbouncer", "sbuf_main_loop", "client_proto")),
      running(0.55, pgbouncer, inModule("pgbouncer", "sbuf_send_pending_iobuf"), send),
    ],
    waiting: [idle(join(pgbouncer, inModule("libc.so.6", "epoll_wait"), epollWait)), lookup(join(pgbouncer, inModule("pgbouncer", "adns_resolve")))],
  },
  node: {
    running: [
      running(0.34, nodeCallback, inModule("node", "Builtins_JsonParse", "v8::internal::JsonParser<unsigned char>::ParseJsonValue")),
      running(
        0.22,
        nodeCallback,
        "LazyCompile:*renderReceipt /srv/api/dist/receipts.js [jit]",
        "LazyCompile:*escapeHtml /srv/api/dist/html.js [jit]",
      ),
      running(0.16, nodeCallback, inModule("node", "v8::internal::Heap::Scavenge", "v8::internal::ScavengerCollector::CollectGarbage")),
      running(0.14, nodeCallback, inModule("node", "node::LibuvStreamWrap::DoTryWrite", "uv_try_write"), send),
      running(0.14, libuv, inModule("node", "uv__io_poll", "uv__read"), receive),
    ],
    waiting: [
      idle(join(libuv, inModule("node", "uv__io_poll"), inModule("libc.so.6", "epoll_pwait"), epollWait), 0.7),
      idle(join(thread, inModule("node", "uv__thread_start", "uv_cond_wait"), futexWait), 0.3),
      lookup(join(thread, inModule("node", "worker", "uv__getaddrinfo_work"))),
    ],
  },
  postgres: {
    running: [
      running(0.3, postgresQuery, inModule("postgres", "SeqNext", "heap_getnextslot", "heapgettup_pagemode", "heap_page_prune_opt")),
      running(0.24, postgresQuery, inModule("postgres", "IndexNext", "index_getnext_slot", "btgettuple", "_bt_binsrch")),
      running(0.16, postgresBackend, inModule("postgres", "exec_bind_message", "GetCachedPlan", "standard_planner")),
      running(0.14, postgresQuery, inModule("postgres", "ReadBufferExtended", "mdread", "FileRead"), readFile),
      running(0.16, postgresBackend, inModule("postgres", "CommitTransaction", "XLogFlush", "XLogWrite"), writeFile),
    ],
    waiting: [
      idle(join(postgresBackend, inModule("postgres", "secure_read", "WaitEventSetWait"), inModule("libc.so.6", "epoll_wait"), epollWait)),
      synced(join(postgresBackend, inModule("postgres", "CommitTransaction", "XLogFlush", "issue_xlog_fsync"))),
      lookup(join(postgresBackend, inModule("postgres", "ClientAuthentication", "InitializeLDAPConnection"))),
    ],
  },
  "wal-g": {
    running: [running(0.7, walg, inModule("wal-g", "lz4.CompressBlock")), running(0.3, walg, inModule("wal-g", "os.(*File).Read"), readFile)],
    waiting: [idle(join(inModule("wal-g", "runtime.mstart", "runtime.findRunnable", "runtime.futexsleep"), futexWait)), lookup(walg)],
  },
  "redis-server": {
    running: [
      running(0.4, redis, inModule("redis-server", "readQueryFromClient", "processCommand", "call", "lookupKey", "dictFind")),
      running(0.36, redis, inModule("redis-server", "handleClientsWithPendingWrites", "writeToClient"), send),
      running(0.24, redis, inModule("redis-server", "readQueryFromClient", "connSocketRead"), receive),
    ],
    waiting: [
      idle(join(redis, inModule("redis-server", "aeApiPoll"), inModule("libc.so.6", "epoll_wait"), epollWait)),
      synced(join(thread, inModule("redis-server", "bioProcessBackgroundJobs"))),
      lookup(redis),
    ],
  },
  python3: {
    running: [
      running(0.46, python, inModule("libpandas.so", "pandas::hashtable::Int64HashTable_lookup")),
      running(
        0.3,
        python,
        inModule("libarrow.so.1600", "parquet::WriteColumnChunk", "arrow::util::internal::ZSTDCodec::Compress"),
        inModule("libzstd.so.1", "ZSTD_compressBlock_doubleFast"),
      ),
      running(0.12, python, inModule("python3.12", "gc_collect_main", "deduce_unreachable")),
      running(0.12, python, inModule("python3.12", "_io_FileIO_readinto"), readFile),
    ],
    waiting: [
      idle(join(python, inModule("libpq.so.5", "PQgetResult", "pqWait"), inModule("libc.so.6", "__poll"), poll)),
      synced(join(python, inModule("python3.12", "os_fsync"))),
      lookup(join(python, inModule("python3.12", "socket_getaddrinfo"))),
    ],
  },
  java: {
    running: [
      running(0.44, java, "Lorg/apache/kafka/streams/processor/internals/StreamTask;::process [jit]", "Lexample/streams/Sessions;::merge [jit]"),
      running(0.26, thread, inModule("libjvm.so", "thread_native_entry", "GCTaskManager::run", "G1ParScanThreadState::copy_to_survivor_space")),
      running(0.3, java, inModule("librocksdbjni.so", "rocksdb::DBImpl::WriteImpl", "rocksdb::log::Writer::AddRecord"), writeFile),
    ],
    waiting: [
      idle(join(java, inModule("libnio.so", "Java_sun_nio_ch_EPoll_wait"), inModule("libc.so.6", "epoll_wait"), epollWait), 0.5),
      idle(join(java, inModule("libjvm.so", "Unsafe_Park", "Parker::park"), futexWait), 0.5),
      synced(join(java, inModule("librocksdbjni.so", "rocksdb::PosixWritableFile::Sync"))),
      lookup(join(java, inModule("libnet.so", "Java_java_net_Inet4AddressImpl_lookupAllHostAddr"))),
    ],
  },
  node_exporter: {
    running: [
      running(0.6, go, inModule("node_exporter", "collector.(*netDevCollector).Update")),
      running(
        0.4,
        go,
        inModule("node_exporter", "os.ReadFile"),
        kernel("entry_SYSCALL_64_after_hwframe", "do_syscall_64", "vfs_read", "seq_read_iter", "diskstats_show"),
      ),
    ],
    waiting: [idle(join(inModule("node_exporter", "runtime.mstart", "runtime.findRunnable", "runtime.futexsleep"), futexWait))],
  },
  "systemd-journal": {
    running: [running(1, sdEvent("systemd-journald"), inModule("systemd-journald", "server_process_datagram", "journal_file_append_entry"))],
    waiting: [
      idle(join(sdEvent("systemd-journald"), epollWait)),
      synced(join(sdEvent("systemd-journald"), inModule("systemd-journald", "journal_file_set_offline"))),
    ],
  },
  sshd: {
    running: [running(1, daemon("sshd", "server_accept_loop"))],
    waiting: [idle(join(daemon("sshd", "server_accept_loop"), inModule("libc.so.6", "ppoll"), poll))],
  },
  systemd: {
    running: [running(1, sdEvent("systemd"), inModule("systemd", "manager_dispatch_cgroups_agent_fd"))],
    waiting: [idle(join(sdEvent("systemd"), epollWait))],
  },
  cron: {
    running: [running(1, daemon("cron", "load_database"))],
    waiting: [idle(join(daemon("cron", "cron_sleep"), inModule("libc.so.6", "sleep"), nanosleep))],
  },
  "dbus-daemon": {
    running: [running(1, daemon("dbus-daemon", "_dbus_loop_run", "bus_dispatch"))],
    waiting: [idle(join(daemon("dbus-daemon", "_dbus_loop_run"), inModule("libc.so.6", "epoll_wait"), epollWait))],
  },
  rsyslogd: {
    running: [running(1, join(thread, inModule("rsyslogd", "wtiWorker", "processBatch", "actionCallDoAction")), writeFile)],
    waiting: [
      idle(join(thread, inModule("imudp.so", "rcvMainLoop"), inModule("libc.so.6", "epoll_wait"), epollWait), 0.6),
      idle(join(thread, inModule("rsyslogd", "wtiWorker"), futexWait), 0.4),
    ],
  },
  "waggle-agent": {
    running: [
      running(1, join(start, inModule("node", "main", "node::Start", "uv_run")), "LazyCompile:*readWindow file:///opt/waggle/agent.mjs [jit]"),
    ],
    waiting: [
      idle(join(start, inModule("node", "main", "node::Start", "uv_run", "uv__io_poll"), epollWait)),
      synced(join(thread, inModule("node", "worker", "uv__fs_work"))),
    ],
  },
  "ksoftirqd/0": {
    running: [
      running(
        1,
        kernel(
          "ret_from_fork_asm",
          "ret_from_fork",
          "kthread",
          "smpboot_thread_fn",
          "run_ksoftirqd",
          "handle_softirqs",
          "net_rx_action",
          "napi_gro_receive",
        ),
      ),
    ],
    waiting: [idle(kernel("ret_from_fork_asm", "ret_from_fork", "kthread", "smpboot_thread_fn", "schedule", "__schedule"))],
  },
  "kworker/u16:1": {
    running: [
      running(
        1,
        kernel(
          "ret_from_fork_asm",
          "ret_from_fork",
          "kthread",
          "worker_thread",
          "process_one_work",
          "wb_workfn",
          "writeback_sb_inodes",
          "ext4_do_writepages",
        ),
      ),
    ],
    waiting: [idle(kernel("ret_from_fork_asm", "ret_from_fork", "kthread", "worker_thread", "schedule", "__schedule"))],
  },
};

/** The stacks of a program, by the name of its process. */
export function stacksOf(process: string): ProgramStacks {
  const found = stacks[process];
  if (found === undefined) throw new TypeError(`nobody said where the process "${process}" spends its time`);
  return found;
}
