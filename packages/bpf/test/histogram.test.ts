// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bucketIndex } from "@waggle/signals";
import { expect, it } from "vitest";

it("puts every value into the same bucket as the reference, thresholds and their neighbours included", () => {
  const values: bigint[] = [0n, 1n, 2n, 3n, (1n << 64n) - 1n];
  for (let exponent = 1; exponent < 64; exponent++) {
    for (let step = 0; step < 8; step++) {
      const threshold = BigInt(Math.floor(2 ** (step / 8) * 2 ** 52)) << 11n;
      const value = threshold >> BigInt(63 - exponent);
      values.push(value - 1n, value, value + 1n);
    }
  }
  for (let value = 5n; value < 1n << 62n; value = (value * 33n) / 32n + 1n) values.push(value);

  const directory = mkdtempSync(join(tmpdir(), "waggle-histogram-"));
  try {
    const binary = join(directory, "bucket-index");
    execFileSync("cc", ["-O2", "-Wno-unknown-pragmas", "-o", binary, fileURLToPath(new URL("./bucket-index.c", import.meta.url))]);
    const answers = execFileSync(binary, { input: values.join("\n"), encoding: "utf8" })
      .trim()
      .split("\n")
      .map(Number);
    expect(answers).toHaveLength(values.length);
    const wrong = values.filter((value, index) => bucketIndex(value) !== answers[index]);
    expect(wrong).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
