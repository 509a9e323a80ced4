// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { hostSignals } from "../packages/signals/src/index.ts";
import { configurationReference } from "../scripts/docs/configuration-reference.ts";
import { kernelsReference } from "../scripts/docs/kernels-reference.ts";
import { signalsReference } from "../scripts/docs/signals-reference.ts";

/** House rules as tests, so that nobody has to argue them in review. */
const root = resolve(import.meta.dirname, "..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((path) => path !== "" && existsSync(join(root, path)));
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const isGenerated = (path: string): boolean => /\/gen\/|\.gen\.ts$|\/migrations\/|\/drizzle\//.test(path);
const sources = files.filter((path) => /\.(ts|tsx|c|h|py|sh)$/.test(path) && !isGenerated(path));

/** The files outside `allowed` that match. */
const outside = (pattern: RegExp, allowed: RegExp): string[] =>
  sources.filter((path) => !allowed.test(path) && path !== "tests/tidy.test.ts" && pattern.test(read(path)));

describe("the source tree", () => {
  it("names its licence in the first lines of every source", () => {
    const missing = sources.filter((path) => !read(path).split("\n", 2).join("\n").includes("SPDX-License-Identifier:"));
    expect(missing).toEqual([]);
  });

  it("has no two files that import each other, directly or around corners, not even types", () => {
    expect(importCircles()).toEqual([]);
  });

  it("imports koffi in the agent's libbpf folder only", () => {
    expect(outside(/from "koffi"|require\("koffi"\)/, /^apps\/agent\/(src\/libbpf\/|build\.ts)/)).toEqual([]);
  });

  it("imports the ClickHouse client in the API's clickhouse folder, the embedded server, benchmarks and tests only", () => {
    expect(
      outside(/from "@clickhouse\/client"/, /^(apps\/api\/src\/clickhouse\/|packages\/clickhouse-embedded\/|bench\/|apps\/api\/test\/)/),
    ).toEqual([]);
  });

  it.each(["agent", "api", "simulator", "web"])("builds %s anew when a package that it is made of has changed", (app) => {
    const folders = new RegExp(`changed ${app} (.*?)(?: \\}|;| \\|\\|)`).exec(read("waggle"))?.[1]?.split(" ") ?? [];
    const { dependencies } = JSON.parse(read(`apps/${app}/package.json`)) as { dependencies: Record<string, string> };
    const packages = Object.keys(dependencies).filter((name) => name.startsWith("@waggle/"));
    expect(packages.length).toBeGreaterThan(0);
    expect(folders).toEqual(expect.arrayContaining([`apps/${app}`, ...packages.map((name) => name.replace("@waggle/", "packages/"))]));
  });

  it("reads environment variables in configuration, entry points and tests only", () => {
    const allowed =
      /^(scripts|bench|tests|apps\/api\/test)\/|^apps\/web\/src\/proxy\.ts$|\/config\/|\/main\.ts$|\.config\.ts$|\.test\.ts$|testing\.ts$|\/build\.ts$/;
    expect(outside(/process\.env/, allowed)).toEqual([]);
  });

  it("names a query's tables in one place, which takes the tenant", () => {
    // Roll-ups, the ledger and the care of tables name theirs themselves: they work for all tenants, or write `tenant =` out.
    const allowed =
      /^apps\/api\/src\/(features\/(query\/(sql|table-versions)\.ts|rollups\/|ledger\/|storage\/|live\/completeness)|clickhouse\/)|^(?!apps\/api\/src\/)|\.test\.ts$/;
    expect(outside(/\b(FROM|JOIN)\s+\$\{/, allowed)).toEqual([]);
    expect(read("apps/api/src/features/query/sql.ts").match(/\bFROM \$\{/g)).toHaveLength(1);
  });

  it("calls no two schemas of the REST API by one name", () => {
    const names = sources
      .filter((path) => path.startsWith("apps/api/src/"))
      .flatMap((path) => [...read(path).matchAll(/\.meta\(\{ id: "(\w+)"/g)].map(([, name]) => name));
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it("holds no marks of unfinished work", () => {
    expect(outside(/\b(TODO|FIXME|XXX)\b|@ts-ignore|@ts-nocheck|\.only\(/, /^$/)).toEqual([]);
  });
});

describe("the documents", () => {
  const documents = files.filter((path) => path.endsWith(".md"));

  it("link to files that exist", () => {
    const dead: string[] = [];
    for (const path of documents) {
      for (const [, target = ""] of read(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        if (!/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(path), target))) dead.push(`${path} → ${target}`);
      }
    }
    expect(dead).toEqual([]);
  });

  it("name paths of this repository that exist", () => {
    const dead: string[] = [];
    for (const path of ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]) {
      for (const [, target = ""] of read(path).matchAll(/`((?:apps|packages|scripts|tests|docs|bench)\/[\w./-]+)`/g)) {
        if (!existsSync(join(root, target))) dead.push(`${path} → ${target}`);
      }
    }
    expect(dead).toEqual([]);
  });

  it("carry the signals reference that the catalogue generates", () => {
    expect(read("docs/signals.md")).toBe(signalsReference());
  });

  it("carry the table of kernels that the kept runs generate, with every signal of the catalogue", () => {
    const table = read("docs/kernels.md");
    expect(table).toBe(kernelsReference());
    expect(hostSignals.map(({ name }) => name).filter((name) => !table.includes(`| \`${name}\` |`))).toEqual([]);
  });

  it("carry the configuration reference that the schemas generate", () => {
    expect(read("docs/configuration.md")).toBe(configurationReference());
  });
});

/** Each circle of imports once, as the paths on it. */
function importCircles(): string[] {
  const modules = new Set(sources.filter((path) => /\.tsx?$/.test(path)));
  const importsOf = (path: string): string[] =>
    [...read(path).matchAll(/(?:from|import)\s*\(?"(\.[^"]*|@\/[^"]*)"/g)].flatMap(([, name = ""]) => {
      const target = name.startsWith("@/") ? `apps/web/src/${name.slice(2)}` : join(dirname(path), name);
      return [target, `${target}.ts`, `${target}.tsx`].find((file) => modules.has(file)) ?? [];
    });
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, above: readonly string[]): void => {
    const at = above.indexOf(path);
    if (at >= 0) circles.push([...above.slice(at), path].join(" → "));
    if (at >= 0 || done.has(path)) return;
    for (const imported of importsOf(path)) walk(imported, [...above, path]);
    done.add(path);
  };
  for (const path of modules) walk(path, []);
  return circles;
}
