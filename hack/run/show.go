package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// rowsShown of each Channel's products: the first are those that something happened to.
const rowsShown = 8

// show prints what people look at.
func (s *stack) show(ctx context.Context) {
	if _, err := os.Stat(s.kubeconfig); err != nil {
		return
	}
	s.print(ctx, "get", "channels", "-n", namespace)
	s.print(ctx, "get", "products", "-n", namespace)
	s.print(ctx, "get", "orders", "-n", namespace)
	s.print(ctx, "get", "orders", "-n", namespace, "-l", "channel.laidoulaile.online/channel="+douyinChannel,
		"-o", "go-template-file=hack/run/pushes.tmpl")
	s.print(ctx, "get", "channels", "-n", namespace, "-o", "go-template-file=hack/run/notices.tmpl")
}

// print prints a kubectl command and what it prints.
func (s *stack) print(ctx context.Context, args ...string) {
	fmt.Println("\n$ kubectl", strings.Join(args, " "))
	out, err := s.kubectl(ctx, "", args...)
	if args[1] == "products" {
		out = shortened(out)
	}
	fmt.Print(out)
	if err != nil {
		fmt.Println(err)
	}
}

// shortened is a table with rowsShown rows of each Channel, the second column.
func shortened(table string) string {
	var short strings.Builder
	rows := map[string]int{}
	var channels []string
	for line := range strings.Lines(table) {
		if cells := strings.Fields(line); len(cells) > 1 && cells[1] != "CHANNEL" {
			if rows[cells[1]]++; rows[cells[1]] == 1 {
				channels = append(channels, cells[1])
			}
			if rows[cells[1]] > rowsShown {
				continue
			}
		}
		short.WriteString(line)
	}
	for _, name := range channels {
		if more := rows[name] - rowsShown; more > 0 {
			fmt.Fprintf(&short, "(and %d more of %s)\n", more, name)
		}
	}
	return short.String()
}

func (s *stack) explain() {
	fmt.Printf(`
Everything is up; interrupt (ctrl-c) to stop and remove it.

  export KUBECONFIG=%[1]s
  kubectl:          %[2]s
  pushes:           http://%[3]s/api/webhooks/fliggy/product-change?token=%[4]s
                    http://%[3]s/api/webhooks/douyin/events   (signed)
  fake platforms:   http://%[5]s   (control: /admin/fliggy/…, /admin/douyin/…)
  metrics:          http://%[6]s/metrics
  logs:             %[7]s

Try: curl -d '{"price":"299.00","push":true}' http://%[5]s/admin/fliggy/products/88/price
     curl -d '{"push":true}' http://%[5]s/admin/douyin/products/%[8]s/offline
`, s.kubeconfig, filepath.Join(assets(), "kubectl"), s.push, token, s.platforms, s.metrics, s.dir, douyinProduct)
}
