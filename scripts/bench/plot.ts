import * as echarts from 'echarts';
import type { Plot } from './part.ts';

/** Bars in groups: a group a label, a bar a series. */
export interface Bars {
  name: string;
  title: string;
  /** Of the values' axis. */
  unit: string;
  labels: string[];
  series: { name: string; values: (number | undefined)[] }[];
}

const width = 900;
const ink = '#24292f';

/** On white, since a page may be shown on a dark ground. */
export function barPlot({ name, title, unit, labels, series }: Bars): Plot {
  const rows = labels.length * (series.length * 20 + 16);
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width, height: rows + 110 });
  chart.setOption({
    animation: false,
    backgroundColor: '#fff',
    color: ['#0969da', '#e3872d', '#6e7781'],
    textStyle: { fontFamily: 'sans-serif', color: ink },
    title: { text: title, left: 16, top: 10, textStyle: { fontSize: 17, color: ink } },
    legend: { show: series.length > 1, top: 40, left: 16, itemGap: 32, textStyle: { color: ink } },
    grid: { left: 150, right: 80, top: series.length > 1 ? 72 : 48, bottom: 38 },
    yAxis: { type: 'category', inverse: true, data: labels, axisLabel: { fontSize: 13, color: ink } },
    xAxis: {
      type: 'value',
      name: unit,
      nameLocation: 'middle',
      nameGap: 24,
      axisLabel: { color: ink },
    },
    series: series.map(({ name, values }) => ({
      name,
      type: 'bar',
      barMaxWidth: 18,
      data: values.map((value) => value ?? '-'),
      label: {
        show: true,
        position: 'right',
        color: ink,
        formatter: ({ value }: { value: unknown }) => value,
      },
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return { name, svg: `${svg}\n` };
}
