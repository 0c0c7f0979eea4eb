import { execFile, type ExecFileException } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

export interface Check {
  readonly name: string
  /** Resolves with a short note, or '' when there is nothing to say; rejects with the reason. */
  run(): Promise<string>
}

export const ROOT = join(import.meta.dirname, '..')

/** Arguments of Node's with which a warning ends the process: users would see it with every command. */
export const NO_WARNINGS = [
  '--import',
  'data:text/javascript,process.on("warning",(warning)=>{throw warning})',
]

/** The environment with this Node first on the path, and without what steers Tidemark itself. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(?:TIDEMARK|CLANKERS|SYNC)_/.test(name))
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`
  return { ...Object.fromEntries(kept), PATH: path, NO_COLOR: '1' }
}

/** Runs a program without a shell; resolves with its stdout, rejects with all that it printed. */
export function runProgram(program: string, args: readonly string[], cwd: string = ROOT): Promise<string> {
  const env = cleanEnvironment()
  return new Promise((resolve, reject) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string): void => {
      if (error === null) return resolve(stdout)
      const said = `${stdout}${stderr}`.trim()
      reject(new Error(said === '' ? error.message : said))
    }
    execFile(program, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 }, done)
  })
}

/** A script of this checkout, on the Node that runs this one. */
export async function runNode(script: string, ...args: readonly string[]): Promise<string> {
  await runProgram(process.execPath, [script, ...args])
  return ''
}

/** The bin of an installed development dependency. */
export function runTool(packageName: string, bin: string, ...args: readonly string[]): Promise<string> {
  const folder = join(ROOT, 'node_modules', packageName)
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    bin: string | Record<string, string>
  }
  const script = typeof manifest.bin === 'string' ? manifest.bin : manifest.bin[bin]
  if (script === undefined) return Promise.reject(new Error(`${packageName} has no program ${bin}`))
  return runNode(join(folder, script), ...args)
}
