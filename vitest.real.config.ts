import { defineConfig } from 'vitest/config'

/** Tests with real parts that a bare machine may lack, or that kill processes: `*.real.test.ts`. */
export default defineConfig({
  test: {
    include: ['{src,test,sim,bench}/**/*.real.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 120_000,
    globalSetup: 'test/postgres/setup.ts',
    pool: 'forks',
    maxWorkers: 2,
  },
})
