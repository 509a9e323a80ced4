// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ServerCredentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { IngestServer } from "../../test/support/ingest-server.ts";
import type { DoctorReport } from "../commands/doctor.ts";
import { readHostIdentity } from "../host/identity.ts";
import { writeCredential } from "../stream/credential.ts";
import type { CheckReport } from "./check.ts";
import { runChecks } from "./check.ts";
import { checks } from "./checks.ts";
import { DoctorFacts } from "./facts.ts";

let directory: string;
let server: IngestServer;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-doctor-"));
  server = new IngestServer();
});
afterEach(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function ask(url: string, more: Record<string, string> = {}): Promise<Map<string, CheckReport>> {
  const environment = { WAGGLE_AGENT_API_URL: url, WAGGLE_AGENT_STATE_DIRECTORY: directory, ...more };
  const asked = checks.filter(({ group }) => group === "API" || group === "state");
  return new Map((await runChecks(asked, new DoctorFacts(environment), { offline: false })).map((report) => [report.id, report]));
}

async function enrol(): Promise<void> {
  const { machineKey } = readHostIdentity("/", directory);
  await writeCredential(directory, { hostId: "host-1", hostName: "web-1", credential: "wgl_hst_1", machineKey });
  server.validCredentials.add("wgl_hst_1");
}

function certificate(): { key: Buffer; cert: Buffer; certFile: string } {
  const path = (name: string): string => join(directory, name);
  const subject = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "60",
    "-subj",
    "/CN=127.0.0.1",
    "-addext",
    "subjectAltName=IP:127.0.0.1",
  ];
  execFileSync("openssl", ["req", "-x509", ...subject, "-keyout", path("key.pem"), "-out", path("cert.pem")], { stdio: "pipe" });
  return { key: readFileSync(path("key.pem")), cert: readFileSync(path("cert.pem")), certFile: path("cert.pem") };
}

describe("doctor on the way to a real API", () => {
  it("passes every step of an enrolled host beside no running agent, and sends no window", async () => {
    await enrol();
    server.config = { apiVersion: "9.9.9", refusedSignals: [{ signal: "tcp_rtt", reason: "other columns" }] };
    server.clockMs = () => Date.now() + 60_000;
    await server.start();
    const reports = await ask(`http://127.0.0.1:${server.port}`);
    for (const id of ["api-proxy", "api-name", "api-connection", "api-tls", "api-sign-in", "enrolment"])
      expect(reports.get(id)?.result, id).toBe("PASS");
    expect(reports.get("api-sign-in")?.found).toContain("web-1");
    expect(reports.get("api-ack")?.result).toBe("SKIP");
    expect(reports.get("clock")).toMatchObject({ result: "WARN", found: expect.stringContaining("behind the API's") });
    expect(reports.get("api-version")).toMatchObject({
      result: "WARN",
      found: expect.stringContaining("9.9.9"),
      cause: expect.stringContaining("tcp_rtt"),
    });
    expect(server.hellos).toHaveLength(1);
    expect(server.received).toEqual([]);
  });

  it("fails with the API's words for a credential that is refused", async () => {
    await enrol();
    server.validCredentials.clear();
    await server.start();
    const reports = await ask(`http://127.0.0.1:${server.port}`);
    expect(reports.get("api-sign-in")).toMatchObject({ result: "FAIL", cause: "credential is unknown" });
    expect(reports.get("clock")?.result).toBe("SKIP");
  });

  it("fails at the first step that does, and skips what lies behind it", async () => {
    await enrol();
    await server.start();
    const { port } = server;
    await server.stop();
    const reports = await ask(`http://127.0.0.1:${port}`);
    expect(reports.get("api-connection")).toMatchObject({ result: "FAIL", cause: expect.stringContaining("ECONNREFUSED") });
    for (const id of ["api-tls", "api-sign-in", "api-ack", "clock", "api-version"]) expect(reports.get(id)?.result, id).toBe("SKIP");
  });

  it("follows the certificate's chain", async () => {
    await enrol();
    const { key, cert, certFile } = certificate();
    server.credentials = ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: cert }]);
    await server.start();
    const url = `https://127.0.0.1:${server.port}`;
    const stranger = await ask(url);
    expect(stranger.get("api-tls")).toMatchObject({
      result: "FAIL",
      cause: expect.stringContaining("SELF_SIGNED"),
      fix: expect.stringContaining("WAGGLE_AGENT_CA_FILE"),
    });
    expect(stranger.get("api-sign-in")?.result).toBe("SKIP");
    const known = await ask(url, { WAGGLE_AGENT_CA_FILE: certFile });
    expect(known.get("api-tls")).toMatchObject({ result: "PASS", found: expect.stringMatching(/TLSv1\.3, .* valid for 5\d days/) });
    expect(known.get("api-sign-in")?.result).toBe("PASS");
  });

  it("goes by the proxy that gRPC would go by, and says when that does not let it through", async () => {
    await server.start();
    const asked: string[] = [];
    let isOpen = true;
    const proxy = createServer();
    proxy.on("connect", (request, socket) => {
      asked.push(request.url ?? "");
      if (!isOpen) return socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      const [host, port] = (request.url ?? "").split(":");
      const through = connect(Number(port), host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
      through.pipe(socket).pipe(through);
      for (const end of [through, socket]) end.on("error", () => {});
      return undefined;
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    try {
      const url = `http://127.0.0.1:${server.port}`;
      const variables = { http_proxy: `http://127.0.0.1:${(proxy.address() as { port: number }).port}` };
      const open = await ask(url, variables);
      expect(open.get("api-proxy")).toMatchObject({ result: "PASS", found: expect.stringContaining("lets") });
      expect(asked).toContain(`127.0.0.1:${server.port}`);
      isOpen = false;
      const closed = await ask(url, variables);
      expect(closed.get("api-proxy")).toMatchObject({ result: "FAIL", cause: expect.stringContaining("403") });
      expect(closed.get("api-connection")?.result).toBe("SKIP");
    } finally {
      proxy.close();
    }
  });
});

describe("doctor beside a running agent", () => {
  it("asks that agent instead of taking its stream, as a process of its own with a JSON that scripts can read", async () => {
    writeFileSync(join(directory, "token"), "wgl_enr_good");
    await server.start();
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const env = {
      PATH: process.env["PATH"],
      WAGGLE_AGENT_API_URL: `http://127.0.0.1:${server.port}`,
      WAGGLE_AGENT_STATE_DIRECTORY: directory,
      WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: join(directory, "token"),
      WAGGLE_AGENT_BPF_DIRECTORY: join(directory, "no-objects"),
      WAGGLE_AGENT_WINDOW_MS: "1000",
    };
    const agent = spawn(process.execPath, [main, "run"], { env, stdio: "ignore" });
    try {
      await vi.waitFor(() => expect(server.acknowledged.length).toBeGreaterThan(2), { timeout: 60_000, interval: 50 });
      const hellos = server.hellos.length;
      const child = spawn(process.execPath, [main, "doctor", "--json"], { env, stdio: ["ignore", "pipe", "inherit"] });
      let out = "";
      child.stdout.on("data", (chunk) => {
        out += chunk;
      });
      const [code] = await once(child, "exit");
      const report = JSON.parse(out) as DoctorReport;
      const of = (id: string) => report.checks.find((check) => check.id === id);
      // There are no objects, on purpose: that fails, and nothing else does for it.
      expect(code).toBe(1);
      expect(report).toMatchObject({ formatVersion: 1, result: "FAIL" });
      expect(of("bpf-objects")).toMatchObject({ result: "FAIL", docs: "docs/doctor.md#bpf-objects" });
      expect(of("programs-load")?.result).toBe("SKIP");
      for (const id of ["api-sign-in", "api-ack", "clock", "agent-running", "agent-losses"])
        expect(of(id)?.result, `${id}: ${of(id)?.found}`).toBe("PASS");
      expect(server.hellos).toHaveLength(hellos);
    } finally {
      agent.kill("SIGTERM");
      await once(agent, "exit");
    }
  });
});
