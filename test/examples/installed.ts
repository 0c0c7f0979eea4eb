import { execFile, execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { startCloudProcess } from '../cloud/cloud-process.ts'

const ROOT = join(import.meta.dirname, '../..')
const MODULES = join(ROOT, 'node_modules')
const tool = (path: string): string => join(MODULES, path)

/** A folder of examples as a person has them: beside an installed `tidemark`, which is a build of this checkout. */
export interface Installed extends Disposable {
  readonly folder: string
  /** Runs a program of an example by a real process, with nothing of Tidemark in its environment but this. */
  run(
    example: string,
    args: readonly string[],
    env?: { readonly [name: string]: string },
  ): Promise<{ readonly code: number; readonly said: string }>
  /** What the compiler says of an example, by the declarations of the package. */
  check(example: string): string
}

export function installExamples(): Installed {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-examples-'))
  const modules = join(folder, 'node_modules')
  const own = join(modules, 'tidemark')
  mkdirSync(own, { recursive: true })
  const { dependencies } = readManifest(join(ROOT, 'package.json'))
  // Programs; beside them is what an operator copies.
  const examples = readdirSync(join(ROOT, 'examples')).filter((name) =>
    existsSync(join(ROOT, 'examples', name, 'package.json')),
  )
  const needed = examples.flatMap((name) =>
    Object.keys(readManifest(join(ROOT, 'examples', name, 'package.json')).dependencies),
  )
  for (const name of new Set([
    ...Object.keys(dependencies),
    ...needed,
    '@types/node',
    '@types/better-sqlite3',
  ])) {
    if (name === 'tidemark') continue
    mkdirSync(join(modules, name, '..'), { recursive: true })
    symlinkSync(tool(name), join(modules, name))
  }
  cpSync(join(ROOT, 'package.json'), join(own, 'package.json'))
  const build = ['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(own, 'dist')]
  execFileSync(process.execPath, [tool('typescript/bin/tsc'), ...build], { cwd: ROOT, stdio: 'inherit' })
  for (const name of examples) cpSync(join(ROOT, 'examples', name), join(folder, name), { recursive: true })
  // For programs that a test writes itself.
  mkdirSync(join(folder, 'guide'))
  writeFileSync(join(folder, 'guide/package.json'), '{ "type": "module" }')
  return {
    folder,
    run(example, args, env = {}) {
      const kept = Object.entries(process.env).filter(
        ([name]) => !/^(TIDEMARK|CLANKERS|SYNC|NODE)_/.test(name),
      )
      return new Promise((resolve) => {
        execFile(
          process.execPath,
          [...args],
          {
            cwd: join(folder, example),
            env: {
              ...Object.fromEntries(kept),
              TIDEMARK_DATA_DIR: join(folder, 'home'),
              NO_COLOR: '1',
              ...env,
            },
            timeout: 50_000,
          },
          (error, out, err) =>
            resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: out + err }),
        )
      })
    },
    check(example) {
      const options = [
        '--noEmit',
        '--strict',
        '--module',
        'nodenext',
        '--target',
        'es2024',
        '--types',
        'node',
      ]
      const lenient = [
        '--allowImportingTsExtensions',
        '--erasableSyntaxOnly',
        '--verbatimModuleSyntax',
        '--skipLibCheck',
      ]
      const files = readdirSync(join(folder, example), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts'))
        .map((file) => join(folder, example, file))
      try {
        return execFileSync(
          process.execPath,
          [tool('typescript/bin/tsc'), ...options, ...lenient, ...files],
          {
            cwd: folder,
            encoding: 'utf8',
          },
        )
      } catch (error) {
        return String((error as { readonly stdout: unknown }).stdout)
      }
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

const readManifest = (path: string) =>
  JSON.parse(readFileSync(path, 'utf8')) as { readonly dependencies: { readonly [name: string]: string } }

/** A cloud as the READMEs start it, and what a program needs to reach it. */
export async function serveCloud(folder: string) {
  const data = join(folder, 'cloud')
  const cloud = await startCloudProcess(data)
  const create = [join(ROOT, 'src/cli/main.ts'), 'cloud', 'token', 'create', '--data', data]
  const token = execFileSync(process.execPath, create, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim()
  return {
    env: { TIDEMARK_ENDPOINT: cloud.url, TIDEMARK_TOKEN: token },
    [Symbol.asyncDispose]: () => cloud[Symbol.asyncDispose](),
  }
}
