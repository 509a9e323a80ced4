// SPDX-License-Identifier: Apache-2.0
import type { Metadata } from "next";
import { SignInForm } from "./sign-in-form";

export const metadata: Metadata = { title: "Sign in" };

export default async function SignInPage({ searchParams }: { searchParams: Promise<Record<string, string | string[] | undefined>> }) {
  const { next } = await searchParams;
  return <SignInForm next={localPath(next)} />;
}

/** Only a path of this site: `next` comes from the URL and must not lead elsewhere. */
function localPath(next: string | string[] | undefined): string | null {
  return typeof next === "string" && /^\/o\/[^\\]*$/.test(next) ? next : null;
}
