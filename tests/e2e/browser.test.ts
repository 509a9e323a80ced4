// SPDX-License-Identifier: Apache-2.0
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { accessibilityViolations, keepScreenshot, launchBrowser, newContext, type Theme, widthBeyondWindow } from "../support/browser.ts";
import { Client } from "../support/stack.ts";
import { LossyPath, runWorkload, startListener } from "../support/workload.ts";

const stack = inject("stack");
const client = new Client(stack);
const sender = `wgl-page${process.pid % 10_000}`;

let browser: Browser;
let context: BrowserContext;
let page: Page;
/** To whom the losses are. */
let peer: string;
const failures: string[] = [];

async function signIn(page: Page, token = client.token): Promise<void> {
  await page.goto(`${stack.webUrl}/sign-in`);
  await page.getByLabel("Access token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

beforeAll(async () => {
  using path = new LossyPath(8);
  peer = path.rightAddress;
  const from = new Date(Date.now() - 1_000);
  const listener = await startListener({ name: "wgl-page-rcv", namespace: path.right, host: path.rightAddress, port: 9001 });
  await runWorkload("connect", { name: sender, namespace: path.left, host: path.rightAddress, port: 9001, bytes: 3_000_000 });
  await listener.done;
  const kernel = path.retransmittedSegments();
  const seen = await client.eventually(
    () => client.sum("tcp_retransmits", "segments", `peer:${path.rightAddress},${path.leftAddress}`, from),
    (sum) => sum >= kernel,
  );
  expect(seen).toBe(kernel);
  expect(kernel).toBeGreaterThan(0);

  browser = await launchBrowser();
  context = await newContext(browser, "dark");
  page = await context.newPage();
  page.on("pageerror", (error) => failures.push(`page error: ${error.message}`));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== stack.webUrl && protocol !== "data:" && protocol !== "blob:") failures.push(`request to ${request.url()}`);
  });
});

afterAll(async () => {
  await browser?.close();
});

describe("a person at a browser", () => {
  it("is told when the token is wrong, and stays signed out", async () => {
    await signIn(page, "wgl_adm_wrong");
    await page.getByRole("alert").filter({ hasText: /token/i }).waitFor();
    await page.goto(`${stack.webUrl}/o/default/fleet`);
    await page.waitForURL(/sign-in/);
  });

  it("signs in and sees this host on the fleet page", async () => {
    await signIn(page);
    await page.waitForURL(/\/fleet/);
    await page.getByRole("heading", { level: 1 }).waitFor();
    expect(page.url()).not.toContain(client.token);
    const cookies = await context.cookies();
    expect(cookies.find((cookie) => cookie.name === "waggle_session")).toMatchObject({ httpOnly: true, sameSite: "Strict" });
    await page.getByRole("link", { name: "Hosts" }).click();
    await page.waitForURL(/\/hosts/);
  });

  it("opens the host and sees who retransmitted to whom", async () => {
    await page.getByRole("table").getByRole("link").first().click();
    await page.waitForURL(/\/hosts\/[^/?]+/);
    const retransmits = page.getByRole("region", { name: /^Retransmits/ });
    await retransmits.getByText(sender).first().waitFor({ timeout: 60_000 });
    await retransmits.getByText(peer).first().waitFor();
  });

  it("reads in the headline which process loses packets to whom", async () => {
    const headline = page.getByRole("heading", { level: 1 });
    await headline.filter({ hasText: /packets/ }).waitFor({ timeout: 60_000 });
    expect(await headline.textContent()).toMatch(/(loses|losing|lost) packets to /);
  });

  it("finds the page as long as what it shows", async () => {
    const length = Number(await page.evaluate("document.documentElement.scrollHeight"));
    const content = Number(
      await page.evaluate("Math.max(...[...document.querySelectorAll('main section')].map((card) => card.getBoundingClientRect().bottom + scrollY))"),
    );
    expect(length - content).toBeGreaterThanOrEqual(0);
    expect(length - content).toBeLessThan(40);
  });

  it("reads a heat map cell by keyboard: its range, its count and its share", async () => {
    const map = page.getByRole("img", { name: /^Round-trip time: distribution/ });
    await map.focus();
    await page.keyboard.press("ArrowUp");
    await page
      .getByText(/\d connections, [\d.<]+ % of this step$/)
      .first()
      .waitFor();
    await page.keyboard.press("Escape");
  });

  it("copies a link frozen to the data with y", async () => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.evaluate("document.activeElement?.blur()");
    await page.keyboard.press("y");
    await page.getByText("Link copied, frozen to this data").waitFor();
    const link = new URL(String(await page.evaluate("navigator.clipboard.readText()")));
    expect(Date.parse(link.searchParams.get("to") ?? "") - Date.parse(link.searchParams.get("from") ?? "")).toBe(15 * 60_000);
  });

  it("is told the truth about a range of which nothing is kept", async () => {
    const old = await context.newPage();
    await old.goto(
      `${new URL(page.url()).origin}${new URL(page.url()).pathname}?from=now-30d&to=${new Date(Date.now() - 29 * 86_400_000).toISOString()}`,
    );
    await old
      .getByRole("region", { name: /^Retransmitted/ })
      .getByText("Before anything that is kept")
      .waitFor({ timeout: 60_000 });
    await old.getByRole("heading", { level: 1 }).filter({ hasText: "nothing was recorded in this range" }).waitFor();
    await old.close();
  });

  it("changes the range, which the URL then carries to somebody else's browser", async () => {
    await page.getByRole("button", { name: /^Time range/ }).click();
    await page.getByRole("button", { name: "Last 5 min" }).click();
    await page.waitForURL(/from=now-5m/);
    await page
      .getByRole("region", { name: /^Retransmits/ })
      .getByText(sender)
      .first()
      .waitFor({ timeout: 60_000 });

    const other = await newContext(browser, "light");
    const shared = await other.newPage();
    await signIn(shared);
    await shared.waitForURL(/\/fleet/);
    await shared.goto(page.url());
    await shared.getByRole("button", { name: /^Time range: Last 5 min/ }).waitFor();
    await shared
      .getByRole("region", { name: /^Retransmits/ })
      .getByText(sender)
      .first()
      .waitFor({ timeout: 60_000 });
    await other.close();
  });

  it.each(["dark", "light"] as const)(
    "finds every page without an accessibility violation, and no wider than the window, in the %s theme",
    async (theme: Theme) => {
      const themed = await newContext(browser, theme);
      const visitor = await themed.newPage();
      await visitor.goto(`${stack.webUrl}/sign-in`);
      await visitor.getByLabel("Access token").waitFor();
      expect(await accessibilityViolations(visitor)).toEqual([]);
      await signIn(visitor);
      await visitor.waitForURL(/\/fleet/);
      const host = new URL(page.url()).pathname;
      for (const [name, path] of Object.entries({
        fleet: "/o/default/fleet?",
        hosts: "/o/default/hosts?",
        host: `${host}?`,
        explore: "/o/default/explore?",
        "explore-signal": "/o/default/explore?signal=run_queue_latency&",
      })) {
        await visitor.goto(`${stack.webUrl}${path}from=now-5m&to=now`);
        await visitor.getByRole("heading", { level: 1 }).waitFor();
        await visitor.waitForLoadState("networkidle");
        expect(await accessibilityViolations(visitor), `${name} in ${theme}`).toEqual([]);
        await keepScreenshot(visitor, `${name}-${theme}`);
        for (const width of [1024, 768, 1440]) {
          await visitor.setViewportSize({ width, height: 900 });
          expect(await widthBeyondWindow(visitor), `${name} in ${theme} after it became ${width} px wide`).toBe(0);
        }
      }
      await themed.close();
    },
  );

  it("finds every signal of the catalogue with its numbers, or the reason why there are none", async () => {
    const visitor = await context.newPage();
    await visitor.goto(`${stack.webUrl}/o/default/explore?from=now-5m&to=now`);
    const headers = visitor.getByRole("table", { name: "All signals" }).getByRole("rowheader");
    await headers.first().waitFor();
    const names = await headers.allTextContents();
    expect(names.length).toBeGreaterThan(40);
    const silent: string[] = [];
    for (const name of names) {
      await visitor.goto(`${stack.webUrl}/o/default/explore?signal=${name}&from=now-5m&to=now`);
      const chart = visitor.locator("#explore-chart");
      const drawn = chart.locator("canvas, .recharts-surface, [data-cause]").first();
      await drawn.waitFor({ timeout: 60_000 }).catch(() => silent.push(name));
      const cause = await chart
        .locator("[data-cause]")
        .getAttribute("data-cause", { timeout: 100 })
        .catch(() => null);
      if (cause === "failed" || cause === "waiting" || cause === "loading") silent.push(`${name}: ${await chart.textContent()}`);
    }
    await visitor.close();
    expect(silent).toEqual([]);
  });

  it("can use the host page at 360 px without scrolling sideways", async () => {
    await page.setViewportSize({ width: 360, height: 780 });
    await page.reload();
    await page
      .getByRole("region", { name: /^Retransmits/ })
      .getByText(sender)
      .first()
      .waitFor({ timeout: 60_000 });
    const width = await page.evaluate("document.documentElement.scrollWidth");
    expect(width).toBeLessThanOrEqual(360);
    await keepScreenshot(page, "host-phone");
  });

  it("meets no script error and no request to anybody else on the way", () => {
    expect(failures).toEqual([]);
  });
});
