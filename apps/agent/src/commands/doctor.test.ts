// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { CheckResult } from "./check-result.ts";
import { exitCodeOf, render, summarise } from "./doctor.ts";
import { kernelVersion } from "./doctor-checks.ts";

const entry = (result: CheckResult["result"]): CheckResult => ({
  group: "g",
  name: `a ${result}`,
  result,
  cause: `cause of ${result}`,
  fix: result === "PASS" || result === "SKIP" ? "" : `fix of ${result}`,
});

describe("doctor", () => {
  it("exits with 0 if all is well, 1 with warnings, 2 with failures", () => {
    expect(exitCodeOf(summarise([entry("PASS"), entry("SKIP")]).result)).toBe(0);
    expect(exitCodeOf(summarise([entry("PASS"), entry("WARN")]).result)).toBe(1);
    expect(exitCodeOf(summarise([entry("WARN"), entry("FAIL"), entry("PASS")]).result)).toBe(2);
  });

  it("shows cause and fix where there is something to do, and counts the results", () => {
    const text = render([entry("PASS"), entry("WARN"), entry("FAIL"), entry("SKIP")]);
    expect(text).toBe(
      [
        "g",
        "  PASS  a PASS: cause of PASS",
        "  WARN  a WARN",
        "        cause of WARN",
        "        → fix of WARN",
        "  FAIL  a FAIL",
        "        cause of FAIL",
        "        → fix of FAIL",
        "  SKIP  a SKIP: cause of SKIP",
        "",
        "1 passed, 1 warnings, 1 failed, 1 skipped",
      ].join("\n"),
    );
  });

  it.each([
    ["4.19.0-27-amd64", "WARN"],
    ["5.7.19", "WARN"],
    ["5.8.0", "PASS"],
    ["5.14.0-503.el9.x86_64", "PASS"],
    ["6.18.44", "PASS"],
    ["7.2.13+deb14", "PASS"],
  ])("judges kernel %s as %s", (release, result) => expect(kernelVersion(release).result).toBe(result));
});
