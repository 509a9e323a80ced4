// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import { IngestServiceService } from "@waggle/proto";
import { afterAll, beforeAll, expect, it } from "vitest";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-simulate-"));
  writeFileSync(join(directory, "token"), "wgl_enr_test\n");
  writeFileSync(join(directory, "totals"), '{"host":"sim-web-01","hour":"2026-11-21T10:00:00.000Z","windows":3,"signals":{}}\n');
});
afterAll(() => rmSync(directory, { recursive: true }));

function simulate(words: readonly string[]): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(import.meta.dirname, "main.ts"), "--hosts", "2", "--token-file", join(directory, "token"), ...words],
      { timeout: 60_000 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), said: stdout + stderr }),
    );
  });
}

it.each([
  ["--api 127.0.0.1:99999", /"127\.0\.0\.1:99999" is no host:port/],
  ["--api 127.0.0.1:0", /is no host:port/],
  ["--from 1960-01-01T00:00:00Z --until 1960-01-01T01:00:00Z", /--from lies before 1970/],
  [
    "--from 2026-11-21T10:00:02Z --until 2026-11-21T10:00:08Z",
    /no whole window of 10 s lies before --until; the first ends at 2026-11-21T10:00:10\.000Z/,
  ],
  ["--incident rtt@now+0s", /lasts no time at all/],
  ["--signals tcp,charm", /there is no signal or family "charm"; families are tcp, net, syscall, file, disk, cpu, host, agent/],
  ["--signals server_storage", /no host reports "server_storage"/],
  ["--rows 20", /--rows 20 is too few: one of each of these signals takes \d+; name fewer with --signals/],
  ["--ledger DIRECTORY/none/ledger", /the ledger \S+ cannot be written \(ENOENT\)/],
  ["--ledger DIRECTORY/totals --resume", /line 1 of \S+totals is no window of a ledger/],
  ["--token-file DIRECTORY/none", /the token file \S+ cannot be read \(ENOENT\)/],
])("%s ends with status 1 and says why", async (words, why) => {
  const { code, said } = await simulate(words.replace("DIRECTORY", directory).split(" "));
  expect(said).toMatch(why);
  expect(said).not.toContain("    at ");
  expect(code).toBe(1);
});

it("an API that refuses the token ends it, with the API's words", async () => {
  const server = new Server();
  server.addService(IngestServiceService, {
    enrolHost: (_call: unknown, respond: (error: object) => void) =>
      respond(Object.assign(new Error("no"), { code: status.UNAUTHENTICATED, details: "the token is revoked" })),
    streamSnapshots: () => {},
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  try {
    const { code, said } = await simulate(["--api", `127.0.0.1:${port}`]);
    expect(said).toMatch(/the API refuses the token in \S+token: the token is revoked/);
    expect(code).toBe(1);
  } finally {
    server.forceShutdown();
  }
});

it("with nobody at the address nothing is delivered, and that is no success", async () => {
  const { code, said } = await simulate(["--api", "127.0.0.1:1", "--duration", "2"]);
  expect(said).toContain("ECONNREFUSED");
  expect(said).toContain("nothing was delivered");
  expect(code).toBe(1);
});
