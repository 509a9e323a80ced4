// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type Snapshot, StreamSnapshotsRequest } from "./index.ts";

const packageRoot = resolve(import.meta.dirname, "..");

describe("the generated codec", () => {
  it("keeps 64-bit sequences and column bytes as they were", () => {
    const snapshot: Snapshot = {
      sequence: 2n ** 63n + 5n,
      windowStartMs: 1_800_000_000_000n,
      windowMs: 10_000,
      clockOffsetMs: -86_400_000n,
      windows: 1,
      bootId: "b",
      blocks: [{ signal: "syscalls", schemaHash: "0", rows: 1, columns: [Buffer.from([0, 255, 128])] }],
    };
    const bytes = StreamSnapshotsRequest.encode({ message: { $case: "snapshot", value: snapshot } }).finish();
    const back = StreamSnapshotsRequest.decode(bytes).message;
    expect(back?.$case).toBe("snapshot");
    const value = back?.value as Snapshot;
    expect(value.sequence).toBe(snapshot.sequence);
    expect(value.clockOffsetMs).toBe(-86_400_000n);
    expect(Buffer.from(value.blocks[0]?.columns[0] ?? [])).toEqual(Buffer.from([0, 255, 128]));
  });

  it("is what the .proto files generate", () => {
    const out = mkdtempSync(join(tmpdir(), "waggle-proto-"));
    try {
      const template = readFileSync(join(packageRoot, "buf.gen.yaml"), "utf8").replace("out: src/gen", `out: ${out}`);
      const templatePath = join(out, "buf.gen.yaml");
      writeFileSync(templatePath, template);
      const path = `${join(packageRoot, "node_modules/.bin")}:${process.env["PATH"]}`;
      execFileSync("buf", ["generate", "--template", templatePath], { cwd: packageRoot, env: { ...process.env, PATH: path } });
      for (const file of ["waggle/ingest/v1/ingest.ts"]) {
        expect(readFileSync(join(out, file), "utf8")).toBe(readFileSync(join(packageRoot, "src/gen", file), "utf8"));
      }
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});
