// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { ConfigError, readConfig } from "./config.ts";

describe("readConfig", () => {
  it("has a default for everything", () => {
    const { config, warnings } = readConfig({});
    expect(config.http).toEqual({ host: "127.0.0.1", port: 7301 });
    expect(config.grpc.port).toBe(7302);
    expect(config.databaseUrl).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  it("names every wrong variable at once and never its value", () => {
    const environment = {
      WAGGLE_API_HTTP_PORT: "hunter2",
      WAGGLE_DATABASE_URL: "mysql://u:hunter2@h/d",
      WAGGLE_CLICKHOUSE_PASSWORD_FILE: "/nowhere/hunter2",
    };
    const failure = (() => {
      try {
        return readConfig(environment);
      } catch (error) {
        return error;
      }
    })();
    expect(failure).toBeInstanceOf(ConfigError);
    const text = (failure as ConfigError).message;
    expect(text).toContain("WAGGLE_API_HTTP_PORT");
    expect(text).toContain("WAGGLE_DATABASE_URL");
    expect(text).not.toContain("hunter2");
  });

  it("names the file variable when its file cannot be read, without the path", () => {
    expect(() => readConfig({ WAGGLE_CLICKHOUSE_PASSWORD_FILE: "/nowhere/at-all" })).toThrow(
      /WAGGLE_CLICKHOUSE_PASSWORD_FILE: the file cannot be read \(ENOENT\)/,
    );
  });

  it("warns about a variable it does not know", () => {
    expect(readConfig({ WAGGLE_API_HTTP_PROT: "1", WAGGLE_AGENT_X: "1" }).warnings).toEqual([
      "WAGGLE_API_HTTP_PROT is not a variable of this version and has no effect",
    ]);
  });

  it("takes user, password and database of ClickHouse from the URL unless they are set apart", () => {
    const url = "http://ada:s%40cret@127.0.0.1:8123/fleet";
    expect(readConfig({ WAGGLE_CLICKHOUSE_URL: url }).config.clickhouse).toEqual({
      url: "http://127.0.0.1:8123",
      database: "fleet",
      username: "ada",
      password: "s@cret",
      cluster: null,
    });
    expect(readConfig({ WAGGLE_CLICKHOUSE_URL: url, WAGGLE_CLICKHOUSE_DATABASE: "other" }).config.clickhouse.database).toBe("other");
  });

  it("reads a cluster whose servers are named, and refuses servers without a cluster or with a user of their own", () => {
    const cluster = {
      WAGGLE_CLICKHOUSE_CLUSTER: "shards",
      WAGGLE_CLICKHOUSE_REPLICATED: "true",
      WAGGLE_CLICKHOUSE_NODE_URLS: "http://a:8123, https://b:8443/",
    };
    expect(readConfig(cluster).config.clickhouse.cluster).toEqual({
      name: "shards",
      replicated: true,
      nodeUrls: ["http://a:8123", "https://b:8443"],
    });
    expect(() => readConfig({ WAGGLE_CLICKHOUSE_NODE_URLS: "http://a:8123" })).toThrow("needs WAGGLE_CLICKHOUSE_CLUSTER");
    const withPassword = { ...cluster, WAGGLE_CLICKHOUSE_NODE_URLS: "http://a:8123,http://ada:hunter2@b:8123" };
    expect(() => readConfig(withPassword)).toThrow("entry 2 carries a user");
    expect(() => readConfig(withPassword)).not.toThrow("hunter2");
  });

  it("refuses a retention that cannot be, by the variable's name", () => {
    expect(() => readConfig({ WAGGLE_API_RETENTION: "raw=seven" })).toThrow("WAGGLE_API_RETENTION: ");
  });

  it("refuses half a TLS configuration", () => {
    expect(() => readConfig({ WAGGLE_API_GRPC_TLS_KEY_FILE: "k.pem" })).toThrow("belong together");
  });
});
