// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { RouteMethods } from "./route-methods.ts";

describe("RouteMethods", () => {
  const routes = new RouteMethods();
  routes.add("GET", "/api/v1/hosts/:id");
  routes.add("PATCH", "/api/v1/hosts/:id");
  routes.add(["GET", "HEAD"], "/api/v1/hosts/:id/settings");
  routes.add("GET", "/api/v1/openapi.json");

  it.each([
    ["/api/v1/hosts/web-1", ["GET", "PATCH"]],
    ["/api/v1/hosts/a%2Fb?x=/y", ["GET", "PATCH"]],
    ["/api/v1/hosts/web-1/settings", ["GET", "HEAD"]],
    ["/api/v1/openapi.json", ["GET"]],
    ["/api/v1/openapi-json", []],
    ["/api/v1/hosts/", []],
    ["/api/v1/hosts", []],
    ["/api/v1/hosts/web-1/settings/more", []],
  ])("%s takes %j", (url, methods) => {
    expect(routes.of(url)).toEqual(methods);
  });
});
