// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const root = resolve(import.meta.dirname, "../..");
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The system's Chromium, with everything off that talks to somebody on its own. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
}

export type Theme = "dark" | "light";

export function newContext(browser: Browser, theme: Theme, size = { width: 1440, height: 900 }): Promise<BrowserContext> {
  // axe is put into the page from outside, which the page's own policy rightly forbids to everybody else.
  return browser.newContext({ locale: "en-US", viewport: size, colorScheme: theme, bypassCSP: true });
}

/** What axe finds wrong with the page as it stands, one line each. WCAG 2.2 AA and axe's best practices. */
export async function accessibilityViolations(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const axe = (
      globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; help: string; nodes: { target: unknown[] }[] }[] }> } }
    ).axe;
    const { violations } = await axe.run();
    return violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${violation.help}: ${node.target.join(" ")}`));
  });
}

/** CSS pixels by which the page is wider than its window, after charts have followed a change of size. */
export function widthBeyondWindow(page: Page): Promise<number> {
  // As text: the page's globals are no part of these tests' types.
  return page.evaluate<number>(`new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    resolve(scrollWidth - clientWidth);
  })))`);
}

/** Keeps a picture for a person to look at; returns its path. */
export async function keepScreenshot(page: Page, name: string): Promise<string> {
  const directory = join(root, ".waggle/screenshots");
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}.png`);
  await page.screenshot({ path, fullPage: true });
  return path;
}
