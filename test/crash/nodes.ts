import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

import { isRunning, stop } from './processes.ts'

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname
const LOOK_AGAIN_MS = 25
const MAX_LOOKS = 2_400
/** What a supervisor waits before it starts one again that could not start. */
const START_AGAIN_MS = 200

/** Nodes of one cloud, each a process of its own, watched as a supervisor of the system does. */
export interface Nodes extends AsyncDisposable {
  /** Ports of all that answer, or did before they were killed; of one that is to stop, nobody is sent there any more. */
  ports(): readonly number[]
  start(no: number): void
  /** Fulfilled when it has ended; false when it was not running. */
  kill(no: number, signal?: 'SIGKILL' | 'SIGTERM'): Promise<boolean>
  /** Fulfilled when all that were started answer that they are ready. */
  untilReady(): Promise<void>
  /** SIGTERM for all; fulfilled when they have ended. */
  stop(): Promise<void>
  /** Those that gave up while they started, since the database was away. */
  readonly restarts: number
  /** Those that ended by themselves once they had started, or for another reason. */
  readonly failures: readonly string[]
}

interface Node {
  child: ChildProcess
  port: number | null
  wanted: boolean
  leaving: boolean
}

/** `args`: of `tidemark`, so that it serves on any port and says where as JSON. */
export function openNodes(args: readonly string[]): Nodes {
  const nodes = new Map<number, Node>()
  const failures: string[] = []
  let restarts = 0

  const start = (no: number): void => {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const node: Node = { child, port: null, wanted: true, leaving: false }
    nodes.set(no, node)
    let [said, failed] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      // Its address, or why it does not start.
      const { url } = (said.endsWith('\n') ? JSON.parse(said) : {}) as { readonly url?: string }
      if (url !== undefined) node.port = Number(new URL(url).port)
    })
    child.stderr.on('data', (chunk: Buffer) => (failed = (failed + chunk.toString()).slice(-4_000)))
    child.on('exit', (code, signal) => {
      if (!node.wanted) return
      if (node.port === null && said.includes('"unavailable"')) {
        restarts++
        setTimeout(() => node.wanted && start(no), START_AGAIN_MS)
      } else failures.push(`node ${no} ended with ${code ?? signal}: ${said}${failed}`)
    })
  }

  const isReady = async ({ port }: Node): Promise<boolean> => {
    if (port === null) return false
    return fetch(`http://127.0.0.1:${port}/readyz`).then(
      async (answer) => {
        await answer.arrayBuffer()
        return answer.ok
      },
      () => false,
    )
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    for (const node of nodes.values()) node.wanted = false
    await Promise.all([...nodes.values()].map(({ child }) => stop(child, signal)))
  }

  return {
    ports: () => [...nodes.values()].flatMap(({ port, leaving }) => (port === null || leaving ? [] : [port])),
    start,
    async kill(no, signal = 'SIGKILL') {
      const node = nodes.get(no)
      if (node === undefined) return false
      node.wanted = false
      node.leaving = signal === 'SIGTERM'
      const wasAlive = isRunning(node.child)
      await stop(node.child, signal)
      return wasAlive
    },
    async untilReady() {
      for (let looks = 0; looks < MAX_LOOKS; looks++) {
        if ((await Promise.all([...nodes.values()].map(isReady))).every(Boolean)) return
        if (failures.length > 0) break
        await sleep(LOOK_AGAIN_MS)
      }
      throw new Error(`not all nodes are ready; ${failures.join('; ')}`)
    },
    stop: () => end('SIGTERM'),
    get restarts() {
      return restarts
    },
    failures,
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  }
}
