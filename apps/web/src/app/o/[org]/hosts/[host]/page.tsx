// SPDX-License-Identifier: Apache-2.0
import type { Metadata } from "next";
import { HostPage } from "@/features/host/host-page";

interface Params {
  params: Promise<{ host: string }>;
}

export async function generateMetadata({ params }: Params): Promise<Metadata> {
  return { title: decodeURIComponent((await params).host) };
}

export default async function Page({ params }: Params) {
  return <HostPage idOrName={decodeURIComponent((await params).host)} />;
}
