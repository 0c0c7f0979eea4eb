import { createServer } from 'node:net'
import type { TestProject } from 'vitest/node'

import { startPostgres, type OwnPostgres } from './server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Port that says where the PostgreSQL is that all test files of a run share. */
    readonly sharedPostgres: number
  }
}

/** The disk need not be waited for: nobody kills this one. 200 connections are for tests that run side by side. */
const FLAGS = ['fsync=off', 'max_connections=200']

/**
 * For the whole run of the tests: one PostgreSQL, started when the first file asks for it, so that runs that need
 * none don't pay for it. A worker connects to the port and is told the address, or why there is none.
 */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  let shared: Promise<OwnPostgres> | null = null
  const broker = createServer((socket) => {
    socket.on('error', () => {})
    shared ??= startPostgres({ flags: FLAGS })
    shared.then(
      ({ url }) => socket.end(JSON.stringify({ url })),
      (error: unknown) => socket.end(JSON.stringify({ failure: String(error) })),
    )
  })
  await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve))
  const address = broker.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  project.provide('sharedPostgres', address.port)
  return async () => {
    broker.close()
    const server = await shared?.catch(() => null)
    await server?.[Symbol.asyncDispose]()
  }
}
