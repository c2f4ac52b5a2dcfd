import { defineConfig } from 'vitest/config';

/** Tests of rates, memory and moments, which another test beside them would disturb. */
const alone = ['throttle', 'throttle-processes', 'memory', 'embedded-crowd', 'redis-gone', 'eta'].map(
  (name) => `test/edge/${name}.test.ts`,
);

const edge = {
  globalSetup: ['test/fixtures/build.ts'],
  testTimeout: 120_000,
  hookTimeout: 60_000,
};

/** `unit` is pure; `edge` meets real servers, clocks and processes and mostly waits for them; `alone` is `edge` one by one. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], sequence: { groupOrder: 0 } } },
      {
        test: {
          name: 'simulation',
          include: ['test/simulation/*.test.ts'],
          setupFiles: ['test/simulation/surroundings.ts'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...edge,
          name: 'edge',
          include: ['test/{edge,faults}/**/*.test.ts'],
          exclude: alone,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...edge,
          name: 'alone',
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
