// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// etcdCommand is an etcd of one member that does not wait for the disk: its data are thrown away with the cluster.
func etcdCommand() *cobra.Command {
	var dir, client, peer string
	c := &cobra.Command{
		Use:          "etcd",
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return runEtcd(ctx, dir, client, peer)
		},
	}
	c.Flags().StringVar(&dir, "data-dir", "", "data directory")
	c.Flags().StringVar(&client, "client", "", "URL for clients")
	c.Flags().StringVar(&peer, "peer", "", "URL for peers, of which there are none")
	return c
}

func runEtcd(ctx context.Context, dir, client, peer string) error {
	forClients, err := url.Parse(client)
	if err != nil {
		return err
	}
	forPeers, err := url.Parse(peer)
	if err != nil {
		return err
	}
	conf := embed.NewConfig()
	conf.Dir = dir
	conf.ListenClientUrls, conf.AdvertiseClientUrls = []url.URL{*forClients}, []url.URL{*forClients}
	conf.ListenPeerUrls, conf.AdvertisePeerUrls = []url.URL{*forPeers}, []url.URL{*forPeers}
	conf.InitialCluster = conf.InitialClusterFromName(conf.Name)
	conf.LogLevel = "warn"
	conf.UnsafeNoFsync = true
	server, err := embed.StartEtcd(conf)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(time.Minute):
		return errors.New("etcd is not ready after a minute")
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Err():
		return fmt.Errorf("etcd: %w", err)
	}
}
