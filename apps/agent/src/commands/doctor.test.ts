// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { CheckReport, CheckResult } from "../doctor/check.ts";
import { exitCodeOf, render, summarise } from "./doctor.ts";

const entry = (result: CheckResult, items: CheckReport["items"] = []): CheckReport => ({
  id: `a-${result.toLowerCase()}`,
  group: "kernel",
  title: `a ${result}`,
  result,
  found: `found by ${result}`,
  cause: result === "WARN" || result === "FAIL" ? `cause of ${result}` : "",
  fix: result === "WARN" || result === "FAIL" ? `fix of ${result}` : "",
  docs: `docs/doctor.md#a-${result.toLowerCase()}`,
  items,
});

describe("doctor", () => {
  it("exits with 0 unless something failed", () => {
    expect(exitCodeOf(summarise([entry("PASS"), entry("WARN"), entry("SKIP")]))).toBe(0);
    expect(exitCodeOf(summarise([entry("PASS"), entry("FAIL"), entry("WARN")]))).toBe(1);
  });

  it("counts every result, and names the worst", () => {
    const { result, counts } = summarise([entry("PASS"), entry("PASS"), entry("WARN"), entry("SKIP")]);
    expect({ result, counts }).toEqual({ result: "WARN", counts: { PASS: 2, WARN: 1, FAIL: 0, SKIP: 1 } });
  });

  it("shows cause, fix and where to read on where there is something to do, and of the items those that are not well", () => {
    const items = [
      { name: "well", result: "PASS", found: "attached" },
      { name: "ill", result: "FAIL", found: "EINVAL" },
    ] as const;
    const text = render(summarise([entry("PASS", items.slice(0, 1)), entry("FAIL", items), entry("SKIP")]));
    expect(text).toBe(
      [
        "kernel",
        "  PASS  a PASS: found by PASS",
        "  FAIL  a FAIL: found by FAIL",
        "        cause of FAIL",
        "        FAIL  ill: EINVAL",
        "        → fix of FAIL  (docs/doctor.md#a-fail)",
        "  SKIP  a SKIP: found by SKIP",
        "",
        "1 passed, 0 warnings, 1 failed, 1 skipped",
      ].join("\n"),
    );
    expect(render(summarise([entry("PASS", items.slice(0, 1))]), true)).toContain("        PASS  well: attached");
  });
});
