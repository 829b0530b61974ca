package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// rowsShown of each Channel's products: the first are those that something happened to, and
// all of SCTT's three pages.
const rowsShown = scttCatalogue

// show prints what people look at.
func (s *stack) show(ctx context.Context) {
	if _, err := os.Stat(s.kubeconfig); err != nil {
		return
	}
	s.print(ctx, "get", "channels", "-n", namespace, "-o", "wide")
	s.print(ctx, "get", "products", "-n", namespace)
	s.print(ctx, "get", "orders", "-n", namespace)
	s.print(ctx, "get", "orders", "-n", namespace, "-l", "channel.laidoulaile.online/channel in ("+douyinChannel+","+scttChannel+")",
		"-o", "go-template-file=hack/run/pushes.tmpl")
	s.print(ctx, "get", "channels", "-n", namespace, "-o", "go-template-file=hack/run/notices.tmpl")
}

// print prints a kubectl command and what it prints.
func (s *stack) print(ctx context.Context, args ...string) {
	fmt.Println("\n$ kubectl", inShell(args))
	out, err := s.kubectl(ctx, "", args...)
	if args[1] == "products" {
		out = shortened(out)
	}
	fmt.Print(out)
	if err != nil {
		fmt.Println(err)
	}
}

// inShell is a command's arguments as a shell reads them.
func inShell(args []string) string {
	quoted := make([]string, 0, len(args))
	for _, arg := range args {
		if strings.ContainsAny(arg, " ()") {
			arg = "'" + arg + "'"
		}
		quoted = append(quoted, arg)
	}
	return strings.Join(quoted, " ")
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
                    http://%[3]s/api/webhooks/sctt/order-voucher?token=%[4]s   (signed)
  fake platforms:   http://%[5]s   (control: /admin/fliggy/…, /admin/douyin/…, /admin/sctt/…)
  metrics:          http://%[6]s/metrics
  logs:             %[7]s

Try: curl -d '{"price":"299.00","push":true}' http://%[5]s/admin/fliggy/products/88/price
     curl -d '{"push":true}' http://%[5]s/admin/douyin/products/%[8]s/offline
     curl -d '{"orders":["%[9]s"],"status":3,"push":true}' http://%[5]s/admin/sctt/cancel
`, s.kubeconfig, filepath.Join(assets(), "kubectl"), s.push, token, s.platforms, s.metrics, s.dir, douyinProduct, bookedOrder)
}
