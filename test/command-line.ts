import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'

import { runCli } from '../src/cli/program.ts'
import { startCloud, type Cloud, type CloudOptions } from '../src/cloud/index.ts'

export interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface Started {
  /** What it has printed so far, errors included. */
  readonly said: () => string
  readonly stop: () => Promise<Said>
}

/** A machine of its own: a folder with its files and settings, and the command line as a person uses it. */
export interface Machine extends AsyncDisposable {
  readonly folder: string
  /** Variables of the environment, for all commands that follow. */
  readonly env: { [name: string]: string }
  /** Runs `tidemark …`, with nobody at the keyboard. */
  tidemark(...args: readonly string[]): Promise<Said>
  /** The same with `--json`: the value it printed. Fails unless the exit code is 0. */
  ask(...args: readonly string[]): Promise<unknown>
  /** Starts `tidemark …`, which goes on until it is stopped as by Ctrl-C. */
  start(...args: readonly string[]): Started
  /** A cloud on this machine, with its token set here. Port 0 takes any. */
  serve(port?: number, tls?: CloudOptions['tls']): Promise<Cloud & { readonly port: number }>
}

export async function openMachine(): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
  const env: { [name: string]: string } = {}
  const clouds: Cloud[] = []
  const start = (...args: readonly string[]): Started & { readonly ended: Promise<Said> } => {
    let [out, err] = ['', '']
    const stopping = new AbortController()
    const ended = runCli(['--home', join(folder, 'home'), ...args], {
      out: { write: (text) => (out += text) },
      err: { write: (text) => (err += text) },
      env,
      input: Readable.from([]),
      signal: stopping.signal,
    }).then((code) => ({ code, out, err }))
    const stop = async (): Promise<Said> => {
      stopping.abort()
      return ended
    }
    return { said: () => out + err, stop, ended }
  }
  const tidemark = (...args: readonly string[]): Promise<Said> => start(...args).ended
  return {
    folder,
    env,
    tidemark,
    start,
    async ask(...args) {
      const { code, out, err } = await tidemark('--json', ...args)
      if (code !== 0) throw new Error(`tidemark ${args.join(' ')} ended with ${code}: ${out}${err}`)
      return JSON.parse(out) as unknown
    },
    async serve(port = 0, tls) {
      const data = join(folder, 'cloud')
      // It shares its thread with the commands: a late event loop is their work.
      const limits = { loopDelayMs: 0 }
      const cloud = await startCloud({ data, port, limits, ...(tls === undefined ? {} : { tls }) })
      clouds.push(cloud)
      const { out } = await tidemark('cloud', 'token', 'create', '--data', data)
      await tidemark('config', 'set', 'token', out.trim())
      return { ...cloud, port: Number(new URL(cloud.url).port) }
    },
    async [Symbol.asyncDispose]() {
      for (const cloud of clouds) await cloud.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
