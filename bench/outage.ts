// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { flowsAndCalls } from "../apps/simulator/src/workload/selection.ts";
import { withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import { rssBytes } from "./process.ts";
import type { BenchOptions, BenchResult } from "./report.ts";
import { startApi } from "./server.ts";

const HOSTS = 500;
const ROWS_PER_FRAME = 300;
const BEFORE_SECONDS = 30;
const OUTAGE_SECONDS = 150;
const SAMPLE_SECONDS = 5;
/** In this much of an outage everything that may be held is full. */
const FILLING_SECONDS = 60;

const root = resolve(import.meta.dirname, "..");

interface Phase {
  readonly what: "before" | "stopped" | "between" | "killed";
  /** Resident MB of the API, every 5 s. */
  readonly rssMb: readonly number[];
}

/** Resident memory of the API while ClickHouse hangs, and while it is gone, with a fleet that keeps sending. */
export async function run(_: BenchOptions): Promise<BenchResult> {
  await using clickhouse = await withTestClickHouse({ maxMemoryBytes: 4 * 1_024 ** 3 });
  await using api = await startApi(clickhouse);
  const directory = mkdtempSync(join(tmpdir(), "waggle-outage-"));
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, api.enrolmentToken, { mode: 0o600 });
  const simulator = spawn(
    process.execPath,
    [
      join(root, "apps/simulator/dist/simulator.mjs"),
      ...["--api", api.ingestAddress, "--token-file", tokenFile, "--hosts", String(HOSTS), "--rows", String(ROWS_PER_FRAME), "--in-flight", "512"],
      ...["--signals", flowsAndCalls.join()],
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const watch = async (what: Phase["what"], seconds: number): Promise<Phase> => {
    const rssMb: number[] = [];
    for (let at = 0; at < seconds; at += SAMPLE_SECONDS) {
      await sleep(SAMPLE_SECONDS * 1_000);
      rssMb.push(Math.round(rssBytes(api.pid) / 1e6));
    }
    return { what, rssMb };
  };
  try {
    const phases = [await watch("before", BEFORE_SECONDS)];
    process.kill(clickhouse.server.pid, "SIGSTOP");
    phases.push(await watch("stopped", OUTAGE_SECONDS));
    process.kill(clickhouse.server.pid, "SIGCONT");
    phases.push(await watch("between", BEFORE_SECONDS));
    process.kill(clickhouse.server.pid, "SIGKILL");
    phases.push(await watch("killed", OUTAGE_SECONDS));
    const measurements = phases.flatMap(({ what, rssMb }) => {
      if (what === "before" || what === "between")
        return [{ what: `resident memory of the API, ${what}, last`, value: rssMb.at(-1) ?? 0, unit: "MB" }];
      const filling = FILLING_SECONDS / SAMPLE_SECONDS;
      return [
        {
          what: `ClickHouse ${what}: largest behind the first minute`,
          value: Math.max(...rssMb.slice(filling)),
          unit: "MB",
          against: { what: "largest within it", value: Math.max(...rssMb.slice(0, filling)) },
        },
      ];
    });
    return {
      title: "Outage",
      method: `${HOSTS} simulated hosts × ${ROWS_PER_FRAME} rows of TCP flows and system calls per 10 s; embedded Postgres; ClickHouse stopped (SIGSTOP) for ${OUTAGE_SECONDS} s, then killed.`,
      measurements,
      json: { hosts: HOSTS, rowsPerFrame: ROWS_PER_FRAME, sampleSeconds: SAMPLE_SECONDS, phases },
    };
  } finally {
    simulator.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
